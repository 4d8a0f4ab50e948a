/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fixture with a loopback device and an open file.
 */
#ifndef __SELFTEST_FWCTL_LOOPBACK_FIXTURE_H
#define __SELFTEST_FWCTL_LOOPBACK_FIXTURE_H

#include "loopback_utils.h"

FIXTURE(loopback)
{
	struct device dev;
	int fd;
};

FIXTURE_SETUP(loopback)
{
	if (!find_loopback(&self->dev))
		SKIP(return, NO_LOOPBACK);

	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd) {
		TH_LOG("cannot open %s: %m", self->dev.node);
	}
}

FIXTURE_TEARDOWN(loopback)
{
	close(self->fd);
}

#endif
