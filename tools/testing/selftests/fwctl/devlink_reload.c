// SPDX-License-Identifier: GPL-2.0-only
/*
 * A minimal "devlink dev reload BUS/DEVICE", for systems without iproute2.
 *
 * usage: devlink_reload BUS/DEVICE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

/* A netlink message. */
struct message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char attributes[8192];
};

static void begin(struct message *msg, int family, int command, int version)
{
	memset(msg, 0, sizeof(*msg));
	msg->nl.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	msg->nl.nlmsg_type = family;
	msg->nl.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	msg->genl.cmd = command;
	msg->genl.version = version;
}

static void add_string(struct message *msg, int type, const char *text)
{
	struct nlattr *attr = (void *)msg + NLMSG_ALIGN(msg->nl.nlmsg_len);

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + strlen(text) + 1;
	memcpy((void *)attr + NLA_HDRLEN, text, strlen(text) + 1);
	msg->nl.nlmsg_len = NLMSG_ALIGN(msg->nl.nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

/*
 * Sends a request and waits for its completion.  Returns 0 or an errno, and the reply in `answer`.
 */
static int ask(int fd, struct message *msg, struct message *answer)
{
	struct message got;

	if (send(fd, msg, msg->nl.nlmsg_len, 0) < 0)
		return errno;
	for (;;) {
		ssize_t len = recv(fd, &got, sizeof(got), 0);
		struct nlmsghdr *nl = &got.nl;

		if (len < 0)
			return errno;
		for (; NLMSG_OK(nl, len); nl = NLMSG_NEXT(nl, len)) {
			if (nl->nlmsg_type == NLMSG_ERROR)
				return -((struct nlmsgerr *)NLMSG_DATA(nl))->error;
			memcpy(answer, nl, nl->nlmsg_len);
		}
	}
}

/* Returns the number of the family "devlink", or 0 if the kernel does not have it. */
static int find_family(int fd)
{
	struct message msg, answer = {};
	struct nlattr *attr;
	int left;

	begin(&msg, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	add_string(&msg, CTRL_ATTR_FAMILY_NAME, DEVLINK_GENL_NAME);
	if (ask(fd, &msg, &answer))
		return 0;
	attr = (void *)answer.attributes;
	left = answer.nl.nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN);
	while (left >= NLA_HDRLEN && attr->nla_len >= NLA_HDRLEN && attr->nla_len <= left) {
		if (attr->nla_type == CTRL_ATTR_FAMILY_ID)
			return *(__u16 *)((void *)attr + NLA_HDRLEN);
		left -= NLA_ALIGN(attr->nla_len);
		attr = (void *)attr + NLA_ALIGN(attr->nla_len);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct message msg, answer;
	int fd, family, err;
	char *slash;

	slash = argc == 2 ? strchr(argv[1], '/') : NULL;
	if (!slash)
		return 2;
	*slash = '\0';

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0 || bind(fd, (void *)&address, sizeof(address))) {
		perror("netlink");
		return 1;
	}
	family = find_family(fd);
	if (!family) {
		fprintf(stderr, "this kernel has no devlink\n");
		return 1;
	}
	begin(&msg, family, DEVLINK_CMD_RELOAD, DEVLINK_GENL_VERSION);
	add_string(&msg, DEVLINK_ATTR_BUS_NAME, argv[1]);
	add_string(&msg, DEVLINK_ATTR_DEV_NAME, slash + 1);
	err = ask(fd, &msg, &answer);
	if (err)
		fprintf(stderr, "%s/%s: %s\n", argv[1], slash + 1, strerror(err));
	close(fd);
	return err ? 1 : 0;
}
