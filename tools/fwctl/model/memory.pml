/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lifetime of registered memory, of drivers/fwctl/umem.rs and quarantine.rs, as a model for
 * spin: one registration of one file. A thread registers memory and destroys it, another one sends
 * an RPC that names it and destroys it, the file is closed, and the device is unregistered and its
 * function reset. The firmware may refuse each command, or not answer it, whether or not it
 * executes it. It writes to the memory whenever it has its addresses.
 *
 * lifetime.pml has the protocol of calls into the driver. Here it is a count. With -DNAME, for a
 * NAME in the file "memory-variants", one step is missing or done at the wrong time, which spin
 * must find.
 */

/* Device::calls, and the mutexes Device::memory and Device::uctx_list */
bool is_active = true;
byte calls = 0;
bool registry_is_locked = false;
bool list_is_locked = false;

/* The context: open until close() or the unregistration has closed it. */
bool is_open = true;
/* The ioctls of the file, which close() follows. */
byte ioctls = 2;

/* The item in the registry. */
mtype:item = { Free, Pending, Ready };
mtype:item item = Free;
byte uses = 0;

/* The pages: whether they are pinned and mapped, and whether the firmware has their addresses. */
bool is_pinned = false;
bool is_mapped = false;
bool firmware_knows = false;
/* They are on the list of the quarantine. */
bool is_quarantined = false;

bool is_unregistered = false;
bool is_closed = false;
bool is_bound = true;
bool is_over = false;

inline lock(mutex) { atomic { !mutex; mutex = true } }
inline unlock(mutex) { mutex = false }

/* Device::enter() */
inline enter(has_entered)
{
	atomic {
		has_entered = is_active;
		if
		:: is_active -> calls++
		:: else
		fi
	}
}

inline leave() { calls-- }

inline unmap()
{
	assert(is_mapped && is_bound);
	is_mapped = false
}

inline unpin()
{
	assert(is_pinned && !is_mapped);
	is_pinned = false
}

/* quarantine::add() */
inline quarantine()
{
	assert(is_pinned && is_mapped && is_bound && !is_quarantined);
	is_quarantined = true
}

/* forget(): the item was taken from the registry. */
inline forget(unpins)
{
	unpins = false;
#ifdef UNPIN_BEFORE_FORGET
	unmap();
	unpin();
	firmware_knows = false;
#else
	assert(is_open);
	if
	/* It has confirmed it. */
	:: atomic { firmware_knows = false; unpins = true }
	/* It has refused, or has not answered: it may have executed the command or not. */
#ifdef UNPIN_WITHOUT_ANSWER
	:: unpins = true
#else
	:: quarantine()
	:: firmware_knows = false; quarantine()
#endif
	fi;
	if
	:: unpins -> unmap()
	:: else
	fi
#endif
}

/* Registry::take() */
inline take(is_taken)
{
	is_taken = false;
	lock(registry_is_locked);
	if
#ifdef DESTROY_IN_USE
	:: item == Ready ->
#else
	:: item == Ready && uses == 0 ->
#endif
		item = Free;
		is_taken = true
	:: else
	fi;
	unlock(registry_is_locked)
}

/* FWCTL_RSC_DESTROY */
inline destroy(has_entered, is_taken, unpins)
{
	enter(has_entered);
	if
	:: has_entered ->
		unpins = false;
		take(is_taken);
		if
		:: is_taken -> forget(unpins)
		:: else
		fi;
		leave();
		if
		:: unpins -> unpin()
		:: else
		fi
	:: else
	fi
}

/* FWCTL_RSC_UMEM_REG, then FWCTL_RSC_DESTROY */
active proctype Registering()
{
	bool has_entered, is_taken, unpins, has_failed = false;

	lock(registry_is_locked);
	item = Pending;
	unlock(registry_is_locked);
	is_pinned = true;
#ifdef MAP_OUTSIDE_OF_A_CALL
	is_mapped = true;
#endif
	enter(has_entered);
	if
	:: has_entered ->
#ifndef MAP_OUTSIDE_OF_A_CALL
		assert(is_bound);
		is_mapped = true;
#endif
		if
		:: firmware_knows = true
		/* It refuses, and the driver retracts the addresses. */
		:: atomic { has_failed = true }; unmap(); unpin()
		/* It does not answer. */
#ifdef UNPIN_WHAT_MAY_BE_KNOWN
		:: firmware_knows = true; has_failed = true; unmap(); unpin()
#else
		:: has_failed = true; quarantine()
		:: firmware_knows = true; has_failed = true; quarantine()
#endif
		fi;
#ifdef FILL_AFTER_THE_CALL
		leave();
#endif
		lock(registry_is_locked);
		assert(item == Pending);
		item = (has_failed -> Free : Ready);
		unlock(registry_is_locked);
#ifndef FILL_AFTER_THE_CALL
		leave();
#endif
		/* Or what writes the structure back fails. */
		destroy(has_entered, is_taken, unpins)
	:: else ->
#ifdef MAP_OUTSIDE_OF_A_CALL
		unmap();
#endif
		unpin();
		lock(registry_is_locked);
		item = Free;
		unlock(registry_is_locked)
	fi;
	ioctls--
}

/* An RPC that names the memory, then FWCTL_RSC_DESTROY */
active proctype Using()
{
	bool has_entered, is_taken, unpins, is_found = false;

	enter(has_entered);
	if
	:: has_entered ->
		lock(registry_is_locked);
		if
		:: item == Ready -> uses++; is_found = true
		:: else
		fi;
		unlock(registry_is_locked);
		if
		:: is_found ->
			/* The driver and the device use the address. */
			assert(is_pinned && is_mapped);
			assert(is_pinned && is_mapped);
			lock(registry_is_locked);
			uses--;
			unlock(registry_is_locked)
		:: else
		fi;
		leave()
	:: else
	fi;
	destroy(has_entered, is_taken, unpins);
	ioctls--
}

/* remove_all(), and the driver's close() */
inline close_driver(is_taken, unpins)
{
	assert(is_open);
#ifdef CLOSE_BEFORE_FORGET
	is_open = false;
#endif
	unpins = false;
	take(is_taken);
	if
	:: is_taken ->
		forget(unpins);
		if
		:: unpins -> unpin()
		:: else
		fi
	:: else
	fi;
	is_open = false
}

/* close_context() */
active proctype Closing()
{
	bool has_entered, is_taken, unpins, is_mine = false;

	ioctls == 0;
	enter(has_entered);
	lock(list_is_locked);
	if
	:: is_open -> is_mine = true
	:: else
	fi;
	if
	:: is_mine && has_entered ->
		unlock(list_is_locked);
		close_driver(is_taken, unpins);
	:: is_mine && !has_entered ->
		close_driver(is_taken, unpins);
		unlock(list_is_locked)
	:: else -> unlock(list_is_locked)
	fi;
	if
	:: has_entered -> leave()
	:: else
	fi;
	/* The registry has nothing of the file any more. */
	assert(item == Free);
	is_closed = true
}

/* shut_down(), then the end of the driver of the hardware, and at_release() */
active proctype Unregistering()
{
	bool is_taken, unpins, is_quiet;

	is_active = false;
#ifndef DO_NOT_DRAIN
	calls == 0;
#endif
	lock(list_is_locked);
	if
	:: is_open -> close_driver(is_taken, unpins)
	:: else
	fi;
	unlock(list_is_locked);
	is_unregistered = true;

	/* devres, with the device locked. The memory of other registrations does not change. */
	if
	:: is_quarantined ->
		if
#ifdef RELEASE_WITHOUT_A_RESET
		:: is_quiet = true
#else
		/* The function was reset, or was removed by surprise. */
		:: firmware_knows = false; is_quiet = true
		/* The reset failed. */
		:: is_quiet = false
#endif
		fi;
		if
		:: is_quiet -> is_quarantined = false; unmap(); unpin()
		:: else
		fi
	:: else
	fi;
	is_bound = false
}

/* It writes when it likes. */
active proctype Firmware()
{
end:
	do
	:: firmware_knows -> assert(!firmware_knows || is_pinned && is_mapped)
	:: is_over -> break
	od
}

/* In the end nothing is pinned but what is in quarantine. */
active proctype End()
{
	is_closed && is_unregistered && !is_bound;
	assert(item == Free && uses == 0);
	assert(is_pinned == is_quarantined);
	assert(is_mapped == is_quarantined);
	assert(!firmware_knows || is_quarantined);
	is_over = true
}
