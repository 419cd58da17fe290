/* SPDX-License-Identifier: MIT */
/*
 * Reading a committed reply: everything here is hostile input.
 *
 * Model: the head of the reply is loaded once, word by word, into a private struct; it is checked;
 * the data are copied once into private memory; that is decoded. A segment is a descriptor that the
 * worker sent: it is read with pread(), never mapped, and only if it is a memory file sealed
 * against shrinking, because reading any other kind of file could block or fail.
 *
 * Invariants: no byte that the worker can still change is looked at twice. A flaw is BROKEN and
 * says what was wrong; a lack of memory on this side is UNREADABLE and nobody's fault.
 */
#include "lane.h"

#include "core/alloc.h"
#include "core/utf8.h"
#include "socket.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The longest text of a failure. */
#define TEXT_MOST 4096
/* Messages that are looked at to find a segment; a decent worker sends one. */
#define MAIL_MOST 16

/* One load of a plain word that another process may write at this moment. */
#define ONCE(word) (*(const volatile __typeof__(word) *)&(word))

static struct bhl_head load_head(const bhp_worker *worker)
{
    const struct bhl_reply_half *half = bhl_reply(worker);

    return (struct bhl_head){ONCE(half->status), ONCE(half->code), ONCE(half->length),
                             ONCE(half->segment), ONCE(half->segment_bytes)};
}

static const void *half_data(const bhp_worker *worker)
{
    return (const unsigned char *)worker->reply_map.at + BHL_HEADER_BYTES;
}

static uint64_t half_room(const bhp_worker *worker)
{
    return worker->reply_map.bytes - BHL_HEADER_BYTES;
}

/* ---- values ---- */

/* Decodes private bytes into the one value they must be. */
static enum bhp_lane_end decode(const bhp_worker *worker, const void *bytes, uint64_t length,
                                struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = worker->nursery->max_reply_bytes};
    struct bh_problem problem;
    bh_value all = bh_value_null();

    int rc = bh_wire_read(&all, bytes, (size_t)length, &limits, &problem);
    if (rc == BH_E_MEMORY)
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE,
                            "no memory for a reply of %" PRIu64 " bytes", length);
    if (rc != BH_OK)
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "its reply is malformed: %s", problem.text);
    uint64_t count = all.length;
    if (count == 1) {
        reply->value = all.as.items[0];
        all.as.items[0] = bh_value_null();
    }
    bh_value_deinit(&all);
    if (count == 1)
        return BHP_LANE_REPLIED;
    return bhl_lane_say(reply, BHP_LANE_BROKEN, "its reply is %" PRIu64 " values, not one", count);
}

/* ---- segments ---- */

/* What is wrong with a descriptor as a segment of `bytes` bytes, or NULL. */
static const char *segment_flaw(int fd, uint64_t bytes)
{
    const int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    struct statfs filesystem;
    struct stat status;

    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return "is no memory file";
    if ((seals & needed) != needed)
        return "is not sealed";
    if (fstatfs(fd, &filesystem) != 0 || filesystem.f_type != TMPFS_MAGIC)
        return "is not in plain memory";
    if (fstat(fd, &status) != 0 || status.st_size < 0 || (uint64_t)status.st_size < bytes)
        return "is shorter than it says";
    return NULL;
}

/* Takes the message that brings this reply's segment; what came before is of nobody's interest. */
static enum bhp_lane_end receive_segment(bhp_worker *worker, uint64_t serial, uint64_t bytes,
                                         int *fd, struct bhp_reply *reply)
{
    struct bhl_control message;
    struct bhl_mail mail;

    for (int i = 0; i < MAIL_MOST; i++) {
        bhl_receive(worker->control, &message, sizeof(message), &mail);
        if (mail.bytes <= 0) {
            bhl_mail_drop(&mail); /* an empty message can bring descriptors, too */
            return bhl_lane_say(reply, BHP_LANE_BROKEN, "it did not send the segment of its reply");
        }
        bool ours = mail.bytes == sizeof(message) && !mail.cut && message.magic == BHL_MAGIC &&
                    message.type == BHL_CONTROL_SEGMENT && message.version == BHL_VERSION &&
                    message.id == serial;
        if (ours && mail.fd_count == 0 && mail.fds_cut)
            return bhl_lane_say(reply, BHP_LANE_UNREADABLE,
                                "no descriptor left for the segment of a reply");
        if (ours && mail.fd_count == 1 && message.bytes == bytes) {
            *fd = bhl_mail_take(&mail, 0);
            return BHP_LANE_REPLIED;
        }
        bhl_mail_drop(&mail);
        if (ours)
            return bhl_lane_say(reply, BHP_LANE_BROKEN,
                                "the message with the segment of its reply is wrong");
    }
    return bhl_lane_say(reply, BHP_LANE_BROKEN, "it fills its control socket with messages");
}

/* @return whether all of it could be read; else errno */
static bool read_all(int fd, unsigned char *bytes, uint64_t length)
{
    uint64_t done = 0;

    while (done < length) {
        ssize_t got = pread(fd, bytes + done, (size_t)(length - done), (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (uint64_t)got;
    }
    return true;
}

static enum bhp_lane_end decode_segment(const bhp_worker *worker, int fd, uint64_t length,
                                        struct bhp_reply *reply)
{
    unsigned char *bytes = bhi_alloc(length > 0 ? (size_t)length : 1);

    if (bytes == NULL)
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE,
                            "no memory for a reply of %" PRIu64 " bytes", length);
    enum bhp_lane_end end =
        read_all(fd, bytes, length)
            ? decode(worker, bytes, length, reply)
            : bhl_lane_say(reply, BHP_LANE_UNREADABLE, "the segment of its reply: %s",
                           bhl_error_text(errno));
    bhi_free(bytes);
    return end;
}

static enum bhp_lane_end read_segment(bhp_worker *worker, uint64_t serial,
                                      const struct bhl_head *head, struct bhp_reply *reply)
{
    int fd = -1;

    if (head->segment != serial)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply to request %" PRIu64 " names segment %" PRIu64, serial,
                            head->segment);
    if (head->segment_bytes < head->length)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply of %" PRIu64 " bytes is in a segment of %" PRIu64,
                            head->length, head->segment_bytes);
    enum bhp_lane_end end = receive_segment(worker, serial, head->segment_bytes, &fd, reply);
    if (end != BHP_LANE_REPLIED)
        return end;
    const char *flaw = segment_flaw(fd, head->segment_bytes);
    end = flaw == NULL ? decode_segment(worker, fd, head->length, reply)
                       : bhl_lane_say(reply, BHP_LANE_BROKEN, "the segment of its reply %s", flaw);
    bhl_close(&fd);
    return end;
}

/* ---- the two kinds of reply ---- */

static enum bhp_lane_end read_value(bhp_worker *worker, uint64_t serial,
                                    const struct bhl_head *head, const void *data, uint64_t room,
                                    struct bhp_reply *reply)
{
    uint64_t most = worker->nursery->max_reply_bytes;

    if (head->length > most)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply has %" PRIu64 " bytes, and %" PRIu64 " are allowed",
                            head->length, most);
    if (head->segment != 0)
        return read_segment(worker, serial, head, reply);
    if (head->length > room)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply has %" PRIu64 " bytes where %" PRIu64 " fit", head->length,
                            room);
    memcpy(worker->scratch, data, (size_t)head->length);
    return decode(worker, worker->scratch, head->length, reply);
}

static enum bhp_lane_end read_failure(const struct bhl_head *head, const void *data, uint64_t room,
                                      struct bhp_reply *reply)
{
    size_t length = (size_t)head->length;

    if (head->segment != 0 || head->length > TEXT_MOST || head->length > room)
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "the text of its failure has %" PRIu64 " bytes",
                            head->length);
    char *text = bhi_alloc(length + 1);
    if (text == NULL)
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for the text of a failure");
    memcpy(text, data, length);
    text[length] = '\0';
    if (!bhi_utf8_valid(text, length) || memchr(text, '\0', length) != NULL) {
        bhi_free(text);
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "the text of its failure is not UTF-8");
    }
    reply->code = head->code;
    reply->text = text;
    return BHP_LANE_FAILED;
}

/** See lane.h. */
enum bhp_lane_end bhl_lane_read_head(bhp_worker *worker, uint64_t serial,
                                     const struct bhl_head *head, const void *data, uint64_t room,
                                     struct bhp_reply *reply)
{
    switch (head->status) {
    case BHL_REPLIED:
        return read_value(worker, serial, head, data, room, reply);
    case BHL_FAILED:
        return read_failure(head, data, room, reply);
    default:
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "its reply has the unknown status %" PRIu32,
                            head->status);
    }
}

/** See lane.h. */
enum bhp_lane_end bhl_lane_read(bhp_worker *worker, uint64_t serial, struct bhp_reply *reply)
{
    struct bhl_head head = load_head(worker);

    return bhl_lane_read_head(worker, serial, &head, half_data(worker), half_room(worker), reply);
}
