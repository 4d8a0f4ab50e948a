/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From when until when a driver may be called: the protocol of drivers/fwctl/registration.rs and what lies around it, as a
 * model for spin, which tries every order in which its steps can happen.
 *
 * Four threads of user space open two files, use them, also the one file in two threads, poll, and close, again and again.
 * Meanwhile one device is probed, perhaps in vain, unbound, and its driver's module and then the core's are unloaded.
 * README.md says which part of the model stands for which code.  With -DNAME, for a NAME of the file "variants", one step
 * is missing or comes at the wrong time: spin must find that.
 */

#define USERS 4
#define FILES 2
/* Users 0 and 1 share file 0, user 2 has file 1, user 3 polls file 0. */
#define FILE_OF(user) ((user) == 2 -> 1 : 0)

/* device.rs: one struct Device */
mtype:state = { New, Live, Gone };
mtype:state state = New;
byte device_refs = 0;
bool device_is_freed = false;

/* The cdev in it, whose parent is the device: its node can be found as long as it is mapped, or cached in an inode. */
byte cdev_refs = 0;
bool is_mapped = false;
bool is_cached = false;

/* SRCU: who is reading, and for whom synchronize() still waits. */
bool is_reading[USERS];
bool is_awaited[USERS];

/* The mutex Device::contexts, and the list of contexts in it. */
bool contexts_are_locked = false;
bool is_listed[FILES];

/* The driver model's lock of the device that the driver is bound to. */
bool host_is_locked = false;

/* What the driver's functions need: the data of the binding, and the text of its module. */
bool has_data = false;
bool has_driver = true;
/* The text of the core, and who keeps it: the driver's module, and for each file its cdev and its operations. */
bool has_core = true;
bool core_is_going = false;
byte core_refs = 1;

/* uctx.rs: one struct Uctx for each file. */
mtype:uctx = { None, Allocated, Open, Closed };
mtype:uctx uctx[FILES] = None;
/* The references of the VFS: a file is released when the last one goes. */
byte file_refs[FILES];
bool has_fd[FILES];

/* What the properties talk about. */
bool is_probed = false;
bool is_unregistering = false;
bool is_unregistered = false;
byte running[FILES];
byte waking = 0;
bool poller_sleeps = false;

/* Whoever runs code of the core, or touches the device. */
#define in_core assert(has_core)
#define device_is_there assert(has_core && !device_is_freed)

/*
 * What the driver core and the VFS do
 */

inline put_device() {
	d_step {
		device_is_there;
		assert(device_refs > 0);
		device_refs--;
		if
		:: device_refs == 0 ->
			/* release() of device.rs, and what the members ask of their drop */
			assert(!is_listed[0] && !is_listed[1]);
			assert(!is_reading[0] && !is_reading[1] && !is_reading[2] && !is_reading[3]);
			assert(!contexts_are_locked && !is_mapped && !is_cached);
			device_is_freed = true
		:: else
		fi
	}
}

inline put_cdev(last) {
	d_step {
		device_is_there;
		assert(cdev_refs > 0);
		cdev_refs--;
		last = (cdev_refs == 0);
		if
		:: last -> is_cached = false
		:: else
		fi
	}
	if
#ifndef CDEV_WITHOUT_PARENT
	:: last -> put_device()
#endif
	:: else
	fi
}

inline cdev_device_add(failed) {
	/* cdev_add() */
	d_step { device_is_there; is_mapped = true }
#ifndef CDEV_WITHOUT_PARENT
	d_step { device_is_there; device_refs++ }
#endif
	/* device_add() */
	if
	:: failed = false
	:: failed = true;
		is_mapped = false;
		put_cdev(is_last)
	fi
}

inline cdev_device_del() {
	/* device_del(), then cdev_del() */
	d_step { device_is_there; is_mapped = false }
	put_cdev(is_last)
}

/* SRCU, as weakly as it promises: synchronize() waits for those who were reading when it began, once each. */
inline srcu_read_lock(who) { d_step { device_is_there; assert(!is_reading[who]); is_reading[who] = true } }
inline srcu_read_unlock(who) { d_step { device_is_there; is_reading[who] = false; is_awaited[who] = false } }

inline srcu_synchronize() {
#ifdef WAIT_UNTIL_NOBODY_READS
	!is_reading[0] && !is_reading[1] && !is_reading[2] && !is_reading[3]
#else
	d_step {
		device_is_there;
		is_awaited[0] = is_reading[0];
		is_awaited[1] = is_reading[1];
		is_awaited[2] = is_reading[2];
		is_awaited[3] = is_reading[3]
	}
	!is_awaited[0] && !is_awaited[1] && !is_awaited[2] && !is_awaited[3]
#endif
}

inline lock_contexts() { atomic { !contexts_are_locked -> device_is_there; contexts_are_locked = true } }
inline unlock_contexts() { d_step { device_is_there; contexts_are_locked = false } }

/*
 * The driver: each call is two steps, between which all else can happen
 */

#define driver_is_there assert(has_core && has_driver && has_data && !device_is_freed)

/* open(): it may fail, and then has nothing to close */
inline driver_open(file, failed) {
	d_step { driver_is_there; assert(uctx[file] == Allocated); running[file]++ }
	if
	:: d_step { driver_is_there; uctx[file] = Open; failed = false; running[file]-- }
	:: d_step { driver_is_there; failed = true; running[file]-- }
	fi
}

/* info() and fw_rpc() */
inline driver_call(file) {
	d_step { driver_is_there; assert(uctx[file] == Open); running[file]++ }
#ifdef DRIVER_TAKES_THE_HOSTS_LOCK
	atomic { !host_is_locked -> host_is_locked = true }
	host_is_locked = false;
#endif
	d_step { driver_is_there; assert(uctx[file] == Open); running[file]-- }
}

inline driver_close(file) {
	/* Once, and nothing else runs in the context. */
	d_step { driver_is_there; assert(uctx[file] == Open && running[file] == 0); running[file]++ }
	d_step { driver_is_there; assert(uctx[file] == Open && running[file] == 1); uctx[file] = Closed; running[file]-- }
}

/*
 * registration.rs
 */

inline enter(who, may_call) {
#ifdef LOOK_BEFORE_READ_LOCK
	d_step { device_is_there; may_call = (state == Live) }
	srcu_read_lock(who);
#else
	srcu_read_lock(who);
#ifdef DO_NOT_LOOK
	may_call = true;
#else
	d_step { device_is_there; may_call = (state == Live) }
#endif
#endif
	if
	:: may_call
	:: else -> srcu_read_unlock(who)
	fi
}

inline set_gone() {
#ifdef WAKE_BEFORE_GONE
	wake_pollers();
	d_step { device_is_there; state = Gone }
#else
	d_step { device_is_there; state = Gone }
	wake_pollers();
#endif
}

inline wake_pollers() { d_step { device_is_there; poller_sleeps = false } }

/* By the loop below, in the order of the list, which matters to nobody. */
inline close_all() {
	do
	:: is_listed[0] || is_listed[1] ->
		d_step {
			if
			:: is_listed[0] -> one = 0
			:: else -> one = 1
			fi;
			assert(uctx[one] != None);
			is_listed[one] = false
		}
#ifdef CLOSE_ALL_WITHOUT_THE_MUTEX
		unlock_contexts();
		driver_close(one);
		lock_contexts()
#else
		driver_close(one)
#endif
	:: else -> break
	od;
	one = 0
}

inline shut_down() {
#ifdef GONE_AFTER_SYNCHRONIZE
	srcu_synchronize();
	set_gone();
#else
	set_gone();
#ifdef MUTEX_BEFORE_SYNCHRONIZE
	lock_contexts();
	srcu_synchronize();
#else
#ifdef CLOSE_ALL_BEFORE_SYNCHRONIZE
	lock_contexts();
	close_all();
	unlock_contexts();
#endif
#ifndef DO_NOT_SYNCHRONIZE
	srcu_synchronize();
#endif
#endif
#endif
#if !defined(CLOSE_NOTHING) && !defined(CLOSE_ALL_BEFORE_SYNCHRONIZE)
#ifndef MUTEX_BEFORE_SYNCHRONIZE
	lock_contexts();
#endif
	close_all();
	unlock_contexts();
#endif
}

inline register(failed) {
	d_step { device_is_there; assert(state == New); state = Live }
	cdev_device_add(failed);
	if
	:: failed ->
#ifndef FORGET_WHO_OPENED_BEFORE_THE_FAILURE
		shut_down();
#endif
		d_step { nothing_runs(); is_unregistered = true }
	:: else
	fi
}

inline unregister() {
	d_step { assert(state == Live); is_unregistering = true }
#ifndef LEAVE_THE_NODE
	cdev_device_del();
#endif
	shut_down();
	d_step { nothing_runs(); is_unregistered = true }
}

/* What unregister() promises. */
inline nothing_runs() {
	assert(running[0] == 0 && running[1] == 0);
	assert(uctx[0] != Open && uctx[1] != Open);
}

/* Nobody sees the list without the mutex, so that what is done to it in one go is one step. */
inline add_context(file) {
	atomic {
		!contexts_are_locked ->
		device_is_there;
		assert(uctx[file] != None && !is_listed[file]);
		is_listed[file] = true
	}
}

inline remove_context(file, was_listed) {
	atomic {
		!contexts_are_locked ->
		device_is_there;
		was_listed = is_listed[file];
		is_listed[file] = false
	}
}

inline close_context(who, file, may_call, was_listed) {
#ifdef CLOSE_WITHOUT_ENTER
	remove_context(file, was_listed);
	if
	:: was_listed -> driver_close(file)
	:: else
	fi;
#else
	enter(who, may_call);
	if
	:: may_call ->
		remove_context(file, was_listed);
		if
#ifdef CLOSE_WHATEVER_THE_LIST_SAYS
		:: true -> driver_close(file)
#else
		:: was_listed -> driver_close(file)
#endif
		:: else
		fi;
		srcu_read_unlock(who)
	:: else ->
		lock_contexts();
		d_step { was_listed = is_listed[file]; is_listed[file] = false }
#ifdef LATE_CLOSE_OUTSIDE_THE_MUTEX
		unlock_contexts();
#endif
		if
#ifdef CLOSE_WHATEVER_THE_LIST_SAYS
		:: true -> driver_close(file)
#else
		:: was_listed -> driver_close(file)
#endif
		:: else
		fi;
#ifndef LATE_CLOSE_OUTSIDE_THE_MUTEX
		unlock_contexts()
#endif
	fi;
#endif
	d_step { was_listed = false; may_call = false }
}

/*
 * uctx.rs
 */

inline uctx_open(who, file, opened, may_call, failed) {
	enter(who, may_call);
	if
	:: may_call ->
		assert(!is_late);
		d_step { device_is_there; assert(uctx[file] == None); uctx[file] = Allocated; device_refs++ }
		driver_open(file, failed);
		if
		:: failed -> uctx_free(file)
#ifdef LIST_AFTER_THE_CALL
		:: else -> srcu_read_unlock(who); add_context(file); srcu_read_lock(who); opened = true
#else
		:: else -> add_context(file); opened = true
#endif
		fi;
		srcu_read_unlock(who)
	:: else
	fi;
	d_step { may_call = false; failed = false }
}

inline uctx_free(file) {
	d_step { assert(uctx[file] == Allocated || uctx[file] == Closed); assert(!is_listed[file]); uctx[file] = None }
	put_device()
}

inline uctx_close(who, file, may_call, was_listed) {
	d_step { in_core; device_refs++ }
	close_context(who, file, may_call, was_listed);
	uctx_free(file);
	put_device()
}

/*
 * file.rs, called by the VFS
 */

/* chrdev_open() */
inline open(who, file) {
	d_step { is_late = is_unregistered; opened = false }
	atomic {
		if
		:: (is_mapped || is_cached) && !core_is_going ->
			assert(!device_is_freed && cdev_refs > 0);
			cdev_refs++;
			is_cached = true;
#ifdef FILES_DO_NOT_HOLD_THE_CORE
			found = true
#else
			/* try_module_get(), for the cdev and for the operations */
			core_refs = core_refs + 2;
			found = true
#endif
		:: else -> found = false
		fi
	}
	if
	:: found ->
		uctx_open(who, file, opened, may_call, failed);
		assert(!opened || !is_late);
		if
		:: opened -> d_step { file_refs[file] = 1; has_fd[file] = true }
		:: else -> put_file(who)
		fi
	:: else
	fi;
	d_step { found = false; is_late = false; opened = false }
}

/* The references of an open file: the cdev's goes first, the operations' last. */
inline put_file(who) {
	put_cdev(is_last);
#ifndef FILES_DO_NOT_HOLD_THE_CORE
	d_step { assert(core_refs >= 2); core_refs = core_refs - 2 }
#endif
	is_last = false
}

inline fget(file, has_it) {
	d_step {
		has_it = has_fd[file];
		if
		:: has_it -> file_refs[file]++
		:: else
		fi
	}
}

/* The last one releases the file: release() of file.rs, then what the VFS gives back. */
inline fput(who, file) {
	d_step { assert(file_refs[file] > 0); file_refs[file]--; goes = (file_refs[file] == 0) }
	if
	:: goes ->
		uctx_close(who, file, may_call, was_listed);
		put_file(who)
	:: else
	fi;
	goes = false
}

inline ioctl(who, file) {
	d_step { in_core; is_late = is_unregistered }
	enter(who, may_call);
	if
	:: may_call ->
		assert(!is_late);
		driver_call(file);
		srcu_read_unlock(who)
	:: else
	fi;
	d_step { may_call = false; is_late = false }
}

/* close(2), or the end of a process */
inline close(who, file) {
	d_step {
		goes = has_fd[file];
		has_fd[file] = false
	}
	if
	:: goes -> fput(who, file)
	:: else
	fi
}

/* poll(2) for POLLHUP, for as long as it takes */
inline poll_for_the_end(file) {
#ifdef LOOK_BEFORE_POLL_WAIT
	if
	:: state == Gone
	:: else -> d_step { device_is_there; poller_sleeps = true }
		!poller_sleeps
	fi
#else
	d_step { device_is_there; poller_sleeps = true }
	if
	:: d_step { state == Gone -> device_is_there; poller_sleeps = false }
	:: d_step { else -> device_is_there }
		!poller_sleeps
	fi
#endif
}

/*
 * Who does all this
 */

proctype user(byte me) {
	bool found = false, opened = false, failed = false, may_call = false, was_listed = false;
	bool is_last = false, goes = false, has_it = false, is_late = false;

	do
	/* Of those who share a file, one opens it. */
	:: (me == 0 || me == 2) && !is_unregistered && file_refs[FILE_OF(me)] == 0 && uctx[FILE_OF(me)] == None ->
		open(me, FILE_OF(me))
	:: has_fd[FILE_OF(me)] && me != 3 ->
		fget(FILE_OF(me), has_it);
		if
		:: has_it -> ioctl(me, FILE_OF(me)); fput(me, FILE_OF(me))
		:: else
		fi;
		has_it = false
	:: has_fd[FILE_OF(me)] && me == 3 ->
		fget(FILE_OF(me), has_it);
		if
		:: has_it -> poll_for_the_end(FILE_OF(me)); fput(me, FILE_OF(me))
		:: else
		fi;
		has_it = false
	:: has_fd[FILE_OF(me)] -> close(me, FILE_OF(me))
	:: break
	od;
	/* Whoever opens after all that: ENODEV or ENXIO. */
	if
	:: me == 2 && is_unregistered && uctx[1] == None && !core_is_going -> open(me, 1)
	:: else
	fi;
	close(me, FILE_OF(me))
}

/* The bus: probe, then unbind, by sysfs or because the module goes. */
inline probe() {
	d_step { has_data = true; device_refs = 1; cdev_refs = 1 }
	register(failed);
	if
	:: failed -> put_device(); has_data = false
	:: else -> is_bound = true
	fi
}

/* By devres. */
inline unbind() {
	if
	:: is_bound ->
#ifdef DATA_BEFORE_REGISTRATION
		has_data = false;
#endif
#ifdef REFERENCE_BEFORE_REGISTRATION
		put_device();
		unregister();
#else
		unregister();
		put_device();
#endif
		has_data = false;
		is_bound = false
	:: else
	fi
}

proctype modules() {
	bool is_bound = false, failed = false, is_last = false;
	byte one = 0;

	atomic { !host_is_locked -> host_is_locked = true }
	probe();
	host_is_locked = false;
	is_probed = true;

	atomic { !host_is_locked -> host_is_locked = true }
	unbind();
	host_is_locked = false;

	/* The driver's module: nothing asks whether files are open. */
	d_step { has_driver = false; core_refs-- }

	/* The core's, once nobody holds it. */
	atomic { core_refs == 0 -> core_is_going = true }
	has_core = false;
	/* And nothing was left behind. */
	assert(device_is_freed)
}

init {
	atomic {
		run modules();
		run user(0);
#ifdef WITH_THREADS
		run user(1);
#endif
#ifdef WITH_FILES
		run user(2);
#endif
#ifdef WITH_POLL
		run user(3);
#endif
	}
}

/* However many RPCs there are, an unregistration that has begun ends. */
#ifdef PROGRESS
ltl unregistration_ends { [] (is_unregistering -> <> is_unregistered) }
#endif
