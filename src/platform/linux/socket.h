/* SPDX-License-Identifier: MIT */
/**
 * @file socket.h
 * Messages with descriptors over a SOCK_SEQPACKET socket, for both ends of the launcher's socket
 * and the dispatcher's end of a worker's. Needs nothing but libc, so that the launcher can have it
 * too.
 *
 * A message is one fixed-size struct. Nothing here blocks: a full or empty socket is EAGAIN.
 */
#ifndef BHL_SOCKET_H
#define BHL_SOCKET_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/** Descriptors that one message can carry. */
#define BHL_FDS_MAX 4

/** What came out of a socket. The descriptors belong to the caller. */
struct bhl_mail {
    ssize_t
        bytes; /* -1: see errno; 0: the other end is closed (or sent nothing, which nobody does) */
    bool cut;  /* the message was longer than asked for */
    bool fds_cut; /* it had more descriptors than there was room for, here or in the process */
    size_t fd_count;
    int fds[BHL_FDS_MAX];
};

/** Closes what came with a message. */
static inline void bhl_mail_drop(struct bhl_mail *mail)
{
    while (mail->fd_count > 0)
        close(mail->fds[--mail->fd_count]);
}

/** Takes descriptor i out of a message, which then no longer owns it. */
static inline int bhl_mail_take(struct bhl_mail *mail, size_t i)
{
    int fd = mail->fds[i];

    mail->fds[i] = mail->fds[--mail->fd_count];
    return fd;
}

/** Sends one whole message with copies of the descriptors. @return whether it went; else errno */
static inline bool bhl_send(int socket, const void *message, size_t size, const int *fds,
                            size_t fd_count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * BHL_FDS_MAX)];
    } control = {.space = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr out = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count > 0) {
        out.msg_control = control.space;
        out.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * fd_count);
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &out, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

/** Takes the descriptors out of a received header. */
static inline void bhl_collect(struct msghdr *in, struct bhl_mail *mail)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c != NULL; c = CMSG_NXTHDR(in, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (mail->fd_count < BHL_FDS_MAX)
                mail->fds[mail->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

/** Receives one message of at most `size` bytes with at most BHL_FDS_MAX descriptors. */
static inline void bhl_receive(int socket, void *message, size_t size, struct bhl_mail *mail)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * BHL_FDS_MAX)];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = size};
    struct msghdr in = {.msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = control.space,
                        .msg_controllen = sizeof(control.space)};

    memset(mail, 0, sizeof(*mail));
    do {
        mail->bytes = recvmsg(socket, &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (mail->bytes < 0 && errno == EINTR);
    if (mail->bytes < 0)
        return;
    mail->cut = (in.msg_flags & MSG_TRUNC) != 0;
    mail->fds_cut = (in.msg_flags & MSG_CTRUNC) != 0;
    bhl_collect(&in, mail);
}

#endif
