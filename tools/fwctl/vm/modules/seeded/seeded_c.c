// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seeded bugs in C, one per load, selected by the parameter "bug". These need
 * one thread; races are in seeded_race.c and seeded_race_rust.rs.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>

static char *bug = "";
module_param(bug, charp, 0444);
MODULE_PARM_DESC(bug, "name of the bug, see the table at the end");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(lock);
static int numbers[4] = { 1, 2, 3, 4 };
/* volatile, or the compiler would optimise the bugs away. */
static volatile unsigned int beyond = 43;
static volatile int sink;
static void * volatile forgotten;

struct with_timer {
	struct timer_list timer;
};

static void past_the_heap(void)
{
	char *heap = kzalloc(43, GFP_KERNEL);

	if (!heap)
		return;
	sink = heap[beyond];
	kfree(heap);
}

/* Not instrumented by KASAN, so that SLUB's redzone reports it. */
static __no_sanitize_address noinline void spoil(char *heap)
{
	*(volatile char *)(heap + 64) = 1;
}

static void spoiled_heap(void)
{
	char *heap = kzalloc(64, GFP_KERNEL);

	if (!heap)
		return;
	spoil(heap);
	kfree(heap);
}

static void past_an_array(void)
{
	sink = numbers[beyond - 39];
}

static void too_far_a_shift(void)
{
	sink = 1 << beyond;
}

/* A potential deadlock: it takes a second thread to happen. */
static void locks_in_both_orders(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void sleep_with_a_spinlock(void)
{
	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static void nothing(struct timer_list *timer) {}

static void free_a_running_timer(void)
{
	struct with_timer *one = kzalloc(sizeof(*one), GFP_KERNEL);

	if (!one)
		return;
	timer_setup(&one->timer, nothing, 0);
	mod_timer(&one->timer, jiffies + 100 * HZ);
	kfree(one);
}

static void forget_the_heap(void)
{
	int i;

	/* Several, as a stale copy of a pointer on a stack hides a leak. */
	for (i = 0; i < 8; i++)
		forgotten = kmalloc(1234, GFP_KERNEL);
	forgotten = NULL;
}

/* Longer than the configured hung task timeout. */
static void wait_for_nobody(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(8 * HZ);
}

/* Longer than the RCU stall timeout: 3 s, plus 5 s with PROVE_RCU. */
static void spin(void)
{
	u64 end;

	/* An earlier grace period would have another timeout. */
	synchronize_rcu();
	rcu_read_lock();
	/* A stall is reported only during a grace period. */
	start_poll_synchronize_rcu();
	preempt_disable();
	end = ktime_get_mono_fast_ns() + 20ULL * NSEC_PER_SEC;
	while (ktime_get_mono_fast_ns() < end)
		cpu_relax();
	preempt_enable();
	rcu_read_unlock();
}

static const struct {
	const char *name;
	void (*make)(void);
} bugs[] = {
	{ "past_the_heap", past_the_heap },
	{ "spoiled_heap", spoiled_heap },
	{ "past_an_array", past_an_array },
	{ "too_far_a_shift", too_far_a_shift },
	{ "locks_in_both_orders", locks_in_both_orders },
	{ "sleep_with_a_spinlock", sleep_with_a_spinlock },
	{ "free_a_running_timer", free_a_running_timer },
	{ "forget_the_heap", forget_the_heap },
	{ "wait_for_nobody", wait_for_nobody },
	{ "spin", spin },
};

static int __init seeded_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		if (!strcmp(bug, bugs[i].name)) {
			bugs[i].make();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(seeded_init);

static void __exit seeded_exit(void)
{
}
module_exit(seeded_exit);

MODULE_DESCRIPTION("Seeded bugs in C for the kernel's checkers");
MODULE_LICENSE("GPL");
