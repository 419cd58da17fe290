/* SPDX-License-Identifier: MIT */
/*
 * The segment of a worker's replies, as the dispatcher sees it.
 *
 * Model: a worker announces a segment by control and names it in a reply, then names it again and
 * again. Here it is mapped once and kept: the view. What the worker announced and no reply named is
 * looked at and thrown away, with the next reply that says that there is something.
 *
 * Invariants: a file is mapped only if nothing that the worker does later can make an access to it
 * fail: it is a memory file on the system's own tmpfs (huge pages can run out), sealed against
 * shrinking and against new writers, which also forbids punching holes; it has none; and its pages
 * are in our tables before anyone looks. So lack of memory is an error and never a signal. How much
 * is mapped is limited by what an honest worker would make.
 */
#include "lane.h"

#include "socket.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Messages that are looked at to find a segment; a decent worker sends one or two for a request. */
#define MAIL_MOST 16
/* Beyond twice the longest reply, for what is rounded up. */
#define ROUNDING (UINT64_C(1) << 20)

/* What is wrong with a descriptor as a segment of `bytes` bytes, or NULL. */
static const char *segment_flaw(int fd, uint64_t bytes)
{
    const int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
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
    if ((uint64_t)status.st_blocks < bytes / 512)
        return "has holes";
    return NULL;
}

/* ---- what came by control ---- */

/* A message that may bring the segment `id`. */
struct letter {
    struct bhl_control message;
    struct bhl_mail mail;
};

static bool is_segment(const struct letter *letter, uint64_t id)
{
    const struct bhl_control *message = &letter->message;

    return letter->mail.bytes == sizeof(*message) && !letter->mail.cut &&
           message->magic == BHL_MAGIC && message->type == BHL_CONTROL_SEGMENT &&
           message->version == BHL_VERSION && message->id == id;
}

/* Takes the descriptor out of the message that brings the segment. */
static enum bhp_lane_end open_letter(struct letter *letter, uint64_t bytes, int *fd,
                                     struct bhp_reply *reply)
{
    if (letter->mail.fd_count == 0 && letter->mail.fds_cut)
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE,
                            "no descriptor left for the segment of a reply");
    if (letter->mail.fd_count != 1 || letter->message.bytes != bytes)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "the message with the segment of its reply is wrong");
    *fd = bhl_mail_take(&letter->mail, 0);
    return BHP_LANE_REPLIED;
}

/* Takes messages, until the one that brings segment `id`; all there are, if that is 0. What else
 * comes is of nobody's interest. */
static enum bhp_lane_end receive(bhp_worker *worker, uint64_t id, uint64_t bytes, int *fd,
                                 struct bhp_reply *reply)
{
    struct letter letter;

    for (int i = 0; i < MAIL_MOST; i++) {
        bhl_receive(worker->control, &letter.message, sizeof(letter.message), &letter.mail);
        bool none = letter.mail.bytes <= 0; /* an empty message can bring descriptors, too */
        enum bhp_lane_end end = BHP_LANE_REPLIED;
        bool ours = !none && id != 0 && is_segment(&letter, id);
        if (ours)
            end = open_letter(&letter, bytes, fd, reply);
        bhl_mail_drop(&letter.mail);
        if (none && id != 0)
            return bhl_lane_say(reply, BHP_LANE_BROKEN, "it did not send the segment of its reply");
        if (none || ours)
            return end;
    }
    return bhl_lane_say(reply, BHP_LANE_BROKEN, "it fills its control socket with messages");
}

/* ---- the view ---- */

/** See lane.h. */
void bhl_lane_forget(bhp_worker *worker)
{
    bhp_memory_free(worker->view);
    worker->view = NULL;
}

/* Makes a view of a descriptor, which it takes. */
static enum bhp_lane_end adopt(bhp_worker *worker, uint64_t id, uint64_t bytes, int fd,
                               struct bhp_reply *reply)
{
    const char *flaw = segment_flaw(fd, bytes);

    if (flaw == NULL) {
        bhl_lane_forget(worker);
        worker->view = bhl_memory_blank(id, bytes);
        if (worker->view != NULL) {
            worker->view->fd = fd;
            return BHP_LANE_REPLIED;
        }
    }
    bhl_close(&fd);
    return flaw != NULL
               ? bhl_lane_say(reply, BHP_LANE_BROKEN, "the segment of its reply %s", flaw)
               : bhl_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for the segment of a reply");
}

static enum bhp_lane_end map_view(bhp_worker *worker, struct bhp_reply *reply)
{
    bhp_memory *view = worker->view;

    if (view->map.at != NULL)
        return BHP_LANE_REPLIED;
    if (!bhl_memory_map(&view->map, view->fd, (size_t)view->bytes))
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE, "the segment of its reply: %s",
                            bhl_error_text(errno));
    bhl_close(&view->fd);
    return BHP_LANE_REPLIED;
}

static enum bhp_lane_end find(bhp_worker *worker, uint64_t id, uint64_t bytes,
                              struct bhp_reply *reply)
{
    uint64_t most = worker->nursery->max_reply_bytes * 2 + ROUNDING;
    int fd = -1;

    if (bytes == 0 || bytes > most)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply is in a segment of %" PRIu64 " bytes", bytes);
    enum bhp_lane_end end = receive(worker, id, bytes, &fd, reply);
    return end == BHP_LANE_REPLIED ? adopt(worker, id, bytes, fd, reply) : end;
}

/** See lane.h. */
enum bhp_lane_end bhl_lane_view(bhp_worker *worker, uint64_t id, uint64_t bytes, uint32_t mails,
                                struct bhp_reply *reply)
{
    bool known = id == 0 || (worker->view != NULL && worker->view->id == id);
    enum bhp_lane_end end = BHP_LANE_REPLIED;

    if (!known)
        end = find(worker, id, bytes, reply);
    else if (mails != worker->mails)
        end = receive(worker, 0, 0, NULL, reply);
    worker->mails = mails;
    if (end != BHP_LANE_REPLIED || id == 0)
        goto done;
    if (worker->view->bytes != bytes)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "the segment of its reply has %" PRIu64 " bytes, not %" PRIu64,
                            worker->view->bytes, bytes);
    end = map_view(worker, reply);
done:
    /* It will not come again: the worker has to make another. Read with the next request. */
    if (end == BHP_LANE_UNREADABLE && (worker->view == NULL || worker->view->id != id))
        atomic_store_explicit(&bhl_request(worker)->reply_dropped, id, memory_order_relaxed);
    return end;
}
