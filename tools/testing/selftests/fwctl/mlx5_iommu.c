// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is registered for the firmware of a ConnectX behind an IOMMU, or behind none.
 *
 * Needs the ConnectX of fwctl-emu, which nothing else may use, and a command `emu` that connects to
 * its control socket.
 */
#include "mlx5_memory.h"

#define DUMP_LEN (64u << 10)

/* Long after the end of the test, unless the emulator is told to go on. */
#define LATE "dma_late=3600000"

FIXTURE(mlx5_iommu)
{
	struct device dev;
	int fd;
	uint8_t *mem;
	/* Whether the card can only access what is mapped for it. */
	bool is_translated;
};

FIXTURE_VARIANT(mlx5_iommu)
{
	int (*reg)(int fd, void *addr, size_t len, uint64_t flags, struct fwctl_rsc_umem_reg *reg);
};

FIXTURE_VARIANT_ADD(mlx5_iommu, pinned)
{
	.reg = _umem_reg,
};

FIXTURE_VARIANT_ADD(mlx5_iommu, allocated)
{
	.reg = _umem_alloc,
};

FIXTURE_SETUP(mlx5_iommu)
{
	char path[PATH_MAX], type[32] = "none";

	if (!find_device(&self->dev, is_mlx5))
		SKIP(return, "no device of mlx5_core: load mlx5_fwctl");
	if (emu("clear 2>&1") != -1)
		SKIP(return, "no emulator: the command emu fails");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/type", self->dev.parent);
	read_text(path, type, sizeof(type));
	/* Strict, or with a queue of flushes. */
	self->is_translated = !strncmp(type, "DMA", 3);
	self->fd = open(self->dev.node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->mem = (uint8_t *)mapping_end(DUMP_LEN / page_size()) - DUMP_LEN;
	memset(self->mem, 0x11, DUMP_LEN);
}

FIXTURE_TEARDOWN(mlx5_iommu)
{
	EXPECT_EQ(-1, emu("clear"));
	EXPECT_LE(0, emu("release"));
	/* A mapping would keep the file open. */
	munmap(self->mem, DUMP_LEN);
	close(self->fd);
	EXPECT_EQ(0, quarantined());
}

#define umem_reg() ({								\
	struct fwctl_rsc_umem_reg __reg;					\
	ASSERT_EQ(0, variant->reg(self->fd, self->mem, DUMP_LEN,		\
				  FWCTL_UMEM_FLAG_MKEY, &__reg));		\
	__reg;									\
})

#define destroy(rsc_id) ASSERT_EQ(0, _destroy(self->fd, rsc_id))

/*
 * The firmware confirms that it has forgotten memory, and writes to it nevertheless.  The test
 * still has the pages, and looks for what was written.  Only an IOMMU stops that.
 */
TEST_F(mlx5_iommu, late_writes_reach_only_what_is_mapped)
{
	struct fwctl_rsc_umem_reg reg = umem_reg();
	long outside = emu_count("/dma/outside_umems");
	long errors = emu_count("/dma/errors");

	ASSERT_EQ(-1, emu("fault reg=%#x," LATE, REG_CORE_DUMP));
	ASSERT_EQ(0, _dump(self->fd, READ_REG, reg.out_mkey_id, 0, DUMP_LEN));
	ASSERT_EQ(1, emu_count("/dma/pending"));
	EXPECT_TRUE(all_bytes_are(self->mem, 0x11, DUMP_LEN));
	destroy(reg.out_rsc_id);
	ASSERT_EQ(1, emu_count("/dma/pending"));
	EXPECT_LE(0, emu("release"));
	while (emu_count("/dma/pending"))
		usleep(10000);

	EXPECT_EQ(outside + 1, emu_count("/dma/outside_umems"));
	EXPECT_EQ(errors + self->is_translated, emu_count("/dma/errors"));
	EXPECT_EQ(self->is_translated, all_bytes_are(self->mem, 0x11, DUMP_LEN));
}

/* Nothing else is mapped for the card, and nothing is left. */
TEST_F(mlx5_iommu, memory_is_mapped_until_it_is_destroyed)
{
	struct fwctl_rsc_umem_reg reg;
	long before;

	/* What the driver maps for its first registration stays. */
	reg = umem_reg();
	destroy(reg.out_rsc_id);

	before = emu("-p /bytes memory");
	EXPECT_LT(0, before);
	reg = umem_reg();
	EXPECT_EQ(before + (self->is_translated ? DUMP_LEN : 0), emu("-p /bytes memory"));
	EXPECT_EQ(0, _dump(self->fd, READ_REG, reg.out_mkey_id, 0, DUMP_LEN));
	destroy(reg.out_rsc_id);
	EXPECT_EQ(before, emu("-p /bytes memory"));
}

TEST_HARNESS_MAIN
