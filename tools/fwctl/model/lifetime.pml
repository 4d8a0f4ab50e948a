/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lifetime protocol of drivers/fwctl/registration.rs and binding.rs, which decides when the
 * core may call into a driver, and that of async_rpc.rs and uring.rs, which decides how an RPC
 * ends, as a model for spin. spin tries every order of its steps.
 *
 * Four threads of user space repeatedly open two files, use them (two threads share one file), poll
 * and close them. Meanwhile a driver is probed, which may fail, and unbound, another task may drop
 * the driver's guard, and the modules of the driver and of the core are unloaded. README.md maps
 * the parts of the model to the code. With -DNAME, for a NAME in the file "variants", one step is
 * missing or done at the wrong time, which spin must find.
 */

#define USERS 4
#define FILES 2
/* Users 0 and 1 share file 0, user 2 has file 1, user 3 polls file 0. */
#define FILE_OF(user) ((user) == 2 -> 1 : 0)

/* The tasks that can register a device or end its registration. */
#define TASKS 4
#define BUS 1
#define GUARD 2
#define LOADER 3

/* device.rs: one struct Device */
mtype:state = { New, Live, Gone };
mtype:state state = New;
byte device_refs = 0;
bool device_is_freed = true;

/*
 * The cdev in it, whose parent is the device. It can be opened while it is mapped, or cached in an
 * inode.
 */
byte cdev_refs = 0;
bool is_mapped = false;
bool is_cached = false;

/* Device::calls, an ActiveCount, and the tasks that sleep on its wait queue. */
#define INACTIVE (-100)
short count = INACTIVE;
#define is_active (count >= 0)
bool drainer_sleeps = false;
bool call_sleeps[USERS];

/* The mutex Device::contexts, and the list of contexts in it. */
bool contexts_are_locked = false;
bool is_listed[FILES];

/* The tasks that sleep on Device::removed. */
bool poller_sleeps = false;
bool ender_sleeps[TASKS];

/* binding.rs: struct Binding, its entry in the list BINDINGS, and the devres action of the host */
byte busy = 0;
bool has_ended = false;
bool is_entered = false;
bool has_action = false;

/* The part of the driver that owns the guard, a fwctl::Registration. */
mtype:owner = { Undecided, Nothing, BusData, Data, Task, Forgotten };
mtype:owner guard = Undecided;

/*
 * The device lock of the host, whether its driver is bound, and whether the driver's own teardown
 * has begun.
 */
bool host_is_locked = false;
bool is_bound = false;
bool teardown_has_begun = false;

/* Operations::Data and the text of the driver's module, which the functions of the driver need. */
bool has_data = false;
bool has_driver = true;
/*
 * The text of the core, and the references to it: by the driver's module, and by the cdev and the
 * operations of each file.
 */
bool has_core = true;
bool core_is_going = false;
byte core_refs = 1;
/* The bus notifier. Unloading the core removes it, and waits until it does not run. */
bool has_notifier = true;
bool notifier_runs = false;

/* uctx.rs: one struct Uctx for each file. */
mtype:uctx = { None, Allocated, Open, Closed };
mtype:uctx uctx[FILES] = None;
/* The references of the VFS. Dropping the last one releases the file. */
byte file_refs[FILES];
bool has_fd[FILES];

/* Whether a task is in end(), and the value it returned. */
bool asks_to_end[TASKS];
bool has_returned_true[TASKS];

#ifdef WITH_ASYNC
/*
 * async_rpc.rs: a driver that answers later. Each of these is a struct InFlight, used for one RPC:
 * the second RPC can be in flight while the answer to the first, which was given up, is late.
 */
#define FLIGHTS 2
#define NO_FLIGHT FLIGHTS
#ifdef WITH_URING
#define RPCS 1
#else
#define RPCS FLIGHTS
#endif
mtype:phase = { Unused, Submitting, Pending, Answered, Cancelled, Removed };
mtype:phase phase[FLIGHTS] = Unused;
#define has_ended_rpc(f) (phase[f] != Submitting && phase[f] != Pending)
/* The references: the submitter, Device::flights, the driver or RCU, and the command of io_uring. */
byte flight_refs[FLIGHTS];
/* The answer is stored: memory that must not be freed in an interrupt. */
bool has_answer[FLIGHTS];
/* It is in Device::flights, and the mutex around that. */
bool is_in_flight[FLIGHTS];
bool flights_are_locked = false;
/* The caller sleeps in ioctl(2). */
bool caller_sleeps[FLIGHTS];
/* RCU has the reference of a late answer. */
bool waits_for_rcu[FLIGHTS];
/* The driver has the PendingRpc, for a handler of an interrupt; one is running; none runs any more. */
bool is_held[FLIGHTS];
bool handler_runs = false;
bool handlers_have_ended = false;
byte next_flight = 0;

/* io_uring: one command at a time, of user 0. */
#define is_issued (cmd_state != NoCmd)
mtype:cmd = { NoCmd, Issued, Complete };
mtype:cmd cmd_state = NoCmd;
/* The owner in its private data, and whether cancellation finds it. */
byte cmd_flight = NO_FLIGHT;
bool cmd_is_listed = false;
/* Its task work is queued. */
bool cmd_has_work = false;
/* InFlight::cmd, and QueuedCmd::is_claimed */
bool cmd_is_set[FLIGHTS];
bool cmd_is_claimed[FLIGHTS];
/* The command was cancelled, once. */
bool cancel_is_over = false;
bool has_opened = false;
bool is_exiting = false;
/* The lock of the ring, and the worker: the command that it executes, and a signal to it. */
bool ring_is_locked = false;
bool worker_runs = false;
bool worker_is_signalled = false;

/* A linked timeout cancels once: no command may wait after that. */
#define no_cancel_is_lost \
	(!cancel_is_over || cmd_state != Issued || cmd_flight == NO_FLIGHT || phase[cmd_flight] != Pending)

#define flight_is_there(f) assert(has_core && flight_refs[f] > 0)
#endif

/* State for the properties only. */
bool is_unregistering = false;
bool is_unregistered = false;
byte running[FILES];
bool program_is_stuck = false;

/* Code of the core runs, or accesses the device. */
#define in_core assert(has_core)
#define device_is_there assert(has_core && !device_is_freed)

/*
 * The driver core and the VFS
 */

inline put_device() {
	d_step {
		device_is_there;
		assert(device_refs > 0);
		device_refs--;
		if
		:: device_refs == 0 ->
			/* release() of device.rs, and the preconditions of dropping the members */
			assert(!is_listed[0] && !is_listed[1]);
			assert(count == INACTIVE && !drainer_sleeps && !poller_sleeps);
			assert(!contexts_are_locked && !is_mapped && !is_cached && !is_entered);
#ifdef WITH_ASYNC
			assert(!flights_are_locked && !is_in_flight[0] && !is_in_flight[1]);
#endif
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
	fi;
	last = false
}

inline cdev_device_add(failed) {
	/* cdev_add() */
	d_step {
		device_is_there;
		is_mapped = true;
#ifndef CDEV_WITHOUT_PARENT
		device_refs++
#endif
	}
	/* device_add() */
	if
	:: failed = false
#ifndef WITH_WORKER
	:: failed = true;
		is_mapped = false;
		put_cdev(is_last)
#endif
	fi
}

inline cdev_device_del() {
	/* device_del(), then cdev_del() */
	d_step { device_is_there; is_mapped = false }
	put_cdev(is_last)
}

/*
 * rust/kernel/sync/active.rs
 */

/* try_enter() */
inline enter(who, may_call) {
#ifdef LOOK_BEFORE_COUNT
	d_step { device_is_there; may_call = is_active }
	d_step { device_is_there; count++ }
#else
	d_step {
		device_is_there;
#ifdef DO_NOT_LOOK
		may_call = true;
#else
		may_call = is_active;
#endif
		count++
	}
#endif
	if
	:: may_call
#ifdef REFUSED_STAYS_COUNTED
	:: else
#else
	/* A refused call is counted for a moment. */
	:: else -> leave()
#endif
	fi
}

inline leave() {
	d_step { device_is_there; count--; wakes = (count == INACTIVE) }
	if
#ifndef LEAVE_DOES_NOT_WAKE
	:: wakes -> wake_calls()
#endif
	:: else
	fi;
	wakes = false
}

inline wake_calls() {
	d_step {
		device_is_there;
		drainer_sleeps = false;
		call_sleeps[0] = false; call_sleeps[1] = false; call_sleeps[2] = false
	}
}

inline activate() { d_step { device_is_there; assert(!is_active); count = count - INACTIVE } }

inline deactivate() {
	d_step { device_is_there; assert(is_active); count = count + INACTIVE }
#ifndef WAITER_NOT_WOKEN
	wake_calls()
#endif
}

inline drain() {
	do
#ifdef DRAIN_LOOKS_BEFORE_IT_SLEEPS
	:: if
	   :: count == INACTIVE -> break
	   :: else -> drainer_sleeps = true;
		!drainer_sleeps
	   fi
#else
	:: atomic { device_is_there; drainer_sleeps = true }
	   if
#ifdef DEACTIVATE_AFTER_DRAIN
	   :: d_step { count == 0 -> drainer_sleeps = false }; break
#endif
	   :: d_step { count == INACTIVE -> drainer_sleeps = false }; break
	   :: else -> !drainer_sleeps
	   fi
#endif
	od;
	/* spin does not allow a break into a d_step. */
	skip
}

/* Context::wait(), with firmware that never answers */
inline wait_for_firmware(who) {
#ifdef LOOK_BEFORE_WAIT
	if
	:: !is_active
	:: else -> d_step { device_is_there; call_sleeps[who] = true }
		!call_sleeps[who]
	fi
#else
	do
	:: atomic { device_is_there; call_sleeps[who] = true }
	   if
	   :: atomic { !is_active -> call_sleeps[who] = false }; break
	   :: else -> !call_sleeps[who]
	   fi
	od;
	skip
#endif
}

inline lock_contexts() { atomic { !contexts_are_locked -> device_is_there; contexts_are_locked = true } }
inline unlock_contexts() { d_step { device_is_there; contexts_are_locked = false } }

/*
 * The driver. Each call is two steps, between which any other step can happen.
 */

#define driver_is_there assert(has_core && has_driver && has_data && !device_is_freed && !teardown_has_begun)

/* open(), which may fail; then there is no context to close */
inline driver_open(file, failed) {
	d_step { driver_is_there; assert(uctx[file] == Allocated); running[file]++ }
	if
	:: d_step { driver_is_there; uctx[file] = Open; failed = false; running[file]-- }
#ifndef WITH_WORKER
	:: d_step { driver_is_there; failed = true; running[file]-- }
#endif
	fi
}

/* info() and fw_rpc() */
inline driver_call(who, file) {
	d_step { driver_is_there; assert(uctx[file] == Open); running[file]++ }
#ifdef DRIVER_TAKES_THE_HOSTS_LOCK
	atomic { !host_is_locked -> host_is_locked = true }
	host_is_locked = false;
#endif
#ifdef WITH_WAITS
	wait_for_firmware(who);
#endif
	d_step { driver_is_there; assert(uctx[file] == Open); running[file]-- }
}

inline driver_close(file) {
	/* Called once, while nothing else runs in the context. */
	d_step { driver_is_there; assert(uctx[file] == Open && running[file] == 0); running[file]++ }
	d_step { driver_is_there; assert(uctx[file] == Open && running[file] == 1); uctx[file] = Closed; running[file]-- }
}

/*
 * registration.rs
 */

inline wake_removed() {
	d_step {
		device_is_there;
		poller_sleeps = false;
		ender_sleeps[BUS] = false; ender_sleeps[GUARD] = false; ender_sleeps[LOADER] = false
	}
}

/* The order in which contexts are closed does not matter. */
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
#ifdef DEACTIVATE_AFTER_DRAIN
	drain();
	deactivate();
	wake_removed();
#else
#ifdef WAKE_BEFORE_DEACTIVATE
	wake_removed();
	deactivate();
#else
	deactivate();
	wake_removed();
#endif
#ifdef MUTEX_BEFORE_DRAIN
	lock_contexts();
	drain();
#else
#ifdef CLOSE_ALL_BEFORE_DRAIN
	lock_contexts();
	close_all();
	unlock_contexts();
#endif
#if defined(WITH_ASYNC) && defined(REMOVE_BEFORE_DRAIN)
	remove_all();
#endif
#ifndef DO_NOT_DRAIN
	drain();
#endif
#if defined(WITH_ASYNC) && !defined(REMOVE_BEFORE_DRAIN) && !defined(REMOVE_NOTHING)
	remove_all();
#endif
#endif
#endif
#if !defined(CLOSE_NOTHING) && !defined(CLOSE_ALL_BEFORE_DRAIN)
#ifndef MUTEX_BEFORE_DRAIN
	lock_contexts();
#endif
	close_all();
	unlock_contexts();
#endif
}

inline register(failed) {
	d_step { device_is_there; assert(state == New); state = Live }
	activate();
	cdev_device_add(failed);
	if
	:: failed -> state = Gone;
#ifndef FAILED_REGISTRATION_STAYS_ACTIVE
		shut_down();
#endif
		d_step { nothing_runs(); is_unregistered = true }
	:: else
	fi
}

/*
 * Returns immediately if the device is not registered, or if another task has begun to unregister
 * it.
 */
inline unregister() {
	if
	:: d_step { state == Live -> device_is_there; state = Gone; is_unregistering = true }
#ifndef LEAVE_THE_NODE
		cdev_device_del();
#endif
		shut_down();
		d_step { nothing_runs(); is_unregistered = true }
	:: else
	fi
}

/* The guarantees of unregister(). */
inline nothing_runs() {
	assert(running[0] == 0 && running[1] == 0);
	assert(uctx[0] != Open && uctx[1] != Open);
#ifdef WITH_ASYNC
	assert(!(is_in_flight[0] && !has_ended_rpc(0)) && !(is_in_flight[1] && !has_ended_rpc(1)));
#endif
}

/* The mutex protects the list, so all changes of it under one hold of the mutex are one step. */
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
		leave()
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
 * binding.rs
 */

/* WaitQueue::wait() on Device::removed, as used by end() */
inline await_removed(me) {
	do
#ifdef LOOK_BEFORE_ENDER_SLEEPS
	:: if
	   :: has_ended || busy == 0 -> break
	   :: else -> ender_sleeps[me] = true;
		!ender_sleeps[me]
	   fi
#else
	:: atomic { device_is_there; ender_sleeps[me] = true }
	   if
	   :: d_step { has_ended || busy == 0 -> ender_sleeps[me] = false }; break
	   :: else -> !ender_sleeps[me]
	   fi
#endif
	od;
	skip
}

/* ended: the registration has ended. Otherwise this task is about to end it. */
inline end(me, ended) {
	ended = false;
	do
	:: d_step { has_ended -> device_is_there; ended = true }; break
	:: else ->
		d_step {
			device_is_there;
			won = (busy == 0);
#ifdef END_WITHOUT_BUSY
			won = true;
#endif
			if
			:: won -> busy = me
			:: else
			fi
		}
		if
		:: won ->
			won = false;
#ifdef DATA_BEFORE_DRAIN
			drop_data(me);
			unregister();
			finish(me)
#else
			unregister();
			drop_data(me);
			finish(me)
#endif
		:: !won && busy == me -> break
#ifdef END_DOES_NOT_WAIT
		:: !won && busy != me -> break
#else
		:: !won && busy != me -> await_removed(me)
#endif
		fi
	od;
#ifdef END_DOES_NOT_WAIT
	skip
#else
	assert(has_ended || busy == me)
#endif
}

inline ask_to_end(me, ended) {
	asks_to_end[me] = true;
	d_step { !asks_to_end[me] -> ended = has_returned_true[me]; has_returned_true[me] = false }
}

/* The data may own the guard, which is then dropped within end() of the same task. */
inline drop_data(me) {
#ifdef WITH_ASYNC
	end_handlers();
#endif
	d_step {
#ifndef DATA_BEFORE_DRAIN
		assert(has_data && has_driver && running[0] == 0 && running[1] == 0);
#endif
		has_data = false
	}
	if
	:: guard == Data ->
#ifdef RE_ENTRY_WAITS
		await_removed(me);
#else
		assert(!has_ended && busy == me);
#endif
		d_step { assert(device_refs > 1); device_refs--; guard = Nothing }
	:: else
	fi
}

/* The rest of finish(): the devres action, the list, and the waiters. */
inline finish(me) {
	/* devm_remove_action_nowarn(): if there is no action, it has run or is about to. */
	d_step {
		device_is_there;
		if
		:: has_action -> has_action = false; assert(device_refs > 1); device_refs--
		:: else
		fi
	}
	/* The reference of the entry is dropped last. */
	d_step { assert(is_entered); is_entered = false }
	has_ended = true;
#ifndef ENDER_NOT_WOKEN
	wake_removed();
#endif
	put_device()
}

/* binding::register(), with the device created by UnregisteredDevice::new() */
inline register_for_host(me, failed) {
	if
#ifndef REGISTER_WITHOUT_LOOKING
	:: is_bound -> failed = true
#endif
	:: else ->
		d_step {
			device_is_freed = false;
			/* The references of the guard and of the entry. */
			device_refs = 2;
			cdev_refs = 1;
			has_data = true;
			busy = me;
			is_entered = true
		}
		if
		/* devm_add_action_or_reset() */
		:: d_step { has_action = true; device_refs++ }
			register(failed)
		/*
		 * It fails and calls the action, which returns immediately, as this task is busy.
		 */
#ifndef WITH_WORKER
		:: failed = true
#endif
		fi;
		if
		:: failed ->
			drop_data(me);
			finish(me);
			put_device()
		:: else ->
			busy = 0;
			wake_removed()
		fi
	fi
}

/* at_release(): devres moves all its actions to a separate list before it runs them. */
inline devres(me, ended) {
	d_step { is_released = has_action; has_action = false }
	if
	:: is_released ->
		in_core;
		ask_to_end(me, ended);
#ifndef ACTION_KEEPS_ITS_REFERENCE
		put_device();
#endif
	:: else
	fi;
	d_step { is_released = false; ended = false }
}

/* end_all(), for the only entry */
inline end_all(me, ended) {
	do
	:: d_step { is_entered -> device_is_there; device_refs++ }
		ask_to_end(me, ended);
		put_device();
		if
		:: !ended -> break
		:: else
		fi
	:: else -> break
	od;
	ended = false
}

/* at_bus_event(): BUS_NOTIFY_UNBIND_DRIVER and BUS_NOTIFY_DRIVER_NOT_BOUND */
inline bus_notifier(me, ended) {
	atomic {
		if
		:: has_notifier -> notifier_runs = true
		:: else
		fi
	}
	if
	:: notifier_runs -> end_all(me, ended); notifier_runs = false
	:: else
	fi
}

#ifdef WITH_ASYNC
/*
 * async_rpc.rs and uring.rs
 */

inline put_flight(f, in_interrupt) {
	d_step {
		flight_is_there(f);
		flight_refs[f]--;
		if
		:: flight_refs[f] == 0 ->
			assert(!in_interrupt || !has_answer[f]);
			assert(!is_in_flight[f] && !waits_for_rcu[f] && !is_held[f] && !caller_sleeps[f]);
			assert(cmd_flight != f || cmd_state != Issued);
			has_answer[f] = false
		:: else
		fi
	}
}

/* InFlight::end(); was: the phase it has ended, or Unused */
inline end_rpc(f, to) {
	d_step {
		flight_is_there(f);
		was = Unused;
		if
		:: !has_ended_rpc(f) -> was = phase[f]; phase[f] = to
		:: else
		fi
	}
}

/* QueuedCmd::claim() */
inline claim(f) {
	d_step {
		flight_is_there(f);
		has_claim = !cmd_is_claimed[f];
#ifdef CLAIM_TWICE
		has_claim = true;
#endif
		cmd_is_claimed[f] = true
	}
}

inline tell(f) {
	if
	:: cmd_is_set[f] ->
		claim(f);
		if
		:: has_claim ->
			/* io_uring_cmd_complete_in_task() */
			d_step {
				assert(cmd_state == Issued && cmd_flight == f && !cmd_has_work);
				cmd_has_work = true;
				has_claim = false
			}
		:: else
		fi
	:: else -> d_step { flight_is_there(f); caller_sleeps[f] = false }
	fi
}

/* InFlight::answer(), with the reference that the PendingRpc has */
inline answer(f, in_interrupt) {
	d_step { flight_is_there(f); assert(!has_answer[f]); has_answer[f] = true }
#ifdef ANSWER_WITHOUT_COMPARING
	d_step { was = Pending; phase[f] = Answered }
#else
	end_rpc(f, Answered);
#endif
	if
	:: was == Pending ->
#ifndef ANSWER_DOES_NOT_TELL
		tell(f);
#endif
		put_flight(f, in_interrupt)
	:: was == Submitting -> put_flight(f, in_interrupt)
#ifdef LATE_ANSWER_DROPPED_AT_ONCE
	:: else -> put_flight(f, in_interrupt)
#else
	/* RcuHead::drop_later() */
	:: else -> d_step { assert(!waits_for_rcu[f]); waits_for_rcu[f] = true }
#endif
	fi;
	was = Unused
}

inline lock_flights() { atomic { !flights_are_locked -> device_is_there; flights_are_locked = true } }
inline unlock_flights() { d_step { device_is_there; flights_are_locked = false } }

inline remove_all() {
	lock_flights();
	do
	:: one < FLIGHTS ->
		if
		:: is_in_flight[one] ->
			end_rpc(one, Removed);
			if
#ifndef REMOVE_DOES_NOT_TELL
			:: was == Pending -> tell(one)
#endif
			:: else
			fi;
			was = Unused
		:: else
		fi;
		one++
	:: else -> break
	od;
	one = 0;
	unlock_flights()
}

/* InFlight::finish(): Flights::remove(), and take_answer(). The phase does not change any more. */
inline finish_rpc(f) {
	atomic {
		!flights_are_locked ->
		device_is_there;
		flight_is_there(f);
		assert(has_ended_rpc(f));
#ifdef CANCELLED_STAYS_LISTED
		if
		:: phase[f] == Cancelled
		:: else -> if :: is_in_flight[f] -> is_in_flight[f] = false; flight_refs[f]-- :: else fi
		fi
#else
		if
		:: is_in_flight[f] -> is_in_flight[f] = false; flight_refs[f]--
		:: else
		fi
#endif
	}
	d_step {
		flight_is_there(f);
		if
		:: phase[f] == Answered -> assert(has_answer[f]); has_answer[f] = false
		:: else
		fi
	}
}

/* The driver: submit(). It answers at once, or keeps the PendingRpc, and may fail in both cases. */
inline driver_submit(file, f) {
	d_step { driver_is_there; assert(uctx[file] == Open); running[file]++; flight_refs[f]++ }
	if
	:: is_held[f] = true
	:: answer(f, false)
#ifndef WITH_WORKER
	:: d_step { is_held[f] = true; failed = true }
	:: answer(f, false); failed = true
#endif
	fi;
	d_step { driver_is_there; assert(uctx[file] == Open); running[file]-- }
}

/* submit(): leaves NO_FLIGHT if it fails */
inline submit(who, file) {
	d_step {
		assert(flight == NO_FLIGHT);
		if
		:: next_flight < RPCS ->
			flight = next_flight;
			next_flight++;
			phase[flight] = Submitting;
			flight_refs[flight] = 1
		:: else
		fi
	}
	if
	:: flight != NO_FLIGHT ->
		enter(who, may_call);
		if
		:: may_call ->
			/* Flights::add() */
			atomic { !flights_are_locked -> device_is_there; is_in_flight[flight] = true; flight_refs[flight]++ }
			driver_submit(file, flight);
			leave();
			if
			:: failed ->
				end_rpc(flight, Cancelled);
				was = Unused;
#ifndef FAILED_STAYS_LISTED
				finish_rpc(flight);
#endif
				put_flight(flight, false);
				d_step { flight = NO_FLIGHT; failed = false }
			:: else
			fi
		:: else -> put_flight(flight, false); flight = NO_FLIGHT
		fi
	:: else
	fi;
	may_call = false
}

/* InFlight::wait() */
inline wait_for_answer(f) {
	if
#ifdef PENDING_WITHOUT_COMPARING
	:: true -> phase[f] = Pending;
#else
	:: d_step { phase[f] == Submitting -> phase[f] = Pending }
#endif
		do
#ifdef LOOK_BEFORE_CALLER_SLEEPS
		:: if
		   :: has_ended_rpc(f) -> break
		   :: else -> caller_sleeps[f] = true;
			!caller_sleeps[f]
		   fi
#else
		:: d_step { flight_is_there(f); caller_sleeps[f] = true }
		   if
		   :: d_step { has_ended_rpc(f) -> caller_sleeps[f] = false }; break
		   :: else ->
			if
			:: !caller_sleeps[f]
#ifdef WITH_KILLS
			:: caller_sleeps[f] = false;
				end_rpc(f, Cancelled);
				was = Unused;
				break
#endif
			fi
		   fi
#endif
		od
#ifndef PENDING_WITHOUT_COMPARING
	:: else
#endif
	fi;
	skip
}

/* FWCTL_RPC by ioctl(2), after the check that the device is live */
inline rpc_by_ioctl(who, file) {
	submit(who, file);
	if
	:: flight != NO_FLIGHT ->
		wait_for_answer(flight);
		finish_rpc(flight);
		put_flight(flight, false);
		flight = NO_FLIGHT
	:: else
	fi
}

#ifdef WITH_URING
inline lock_ring() { atomic { !ring_is_locked -> ring_is_locked = true } }
inline unlock_ring() { ring_is_locked = false }

/* io_uring_cmd_done(): a CQE. Otherwise the command ends with what ->uring_cmd() returns. */
inline complete() {
	d_step {
		in_core;
		assert(cmd_state == Issued && !cmd_has_work);
		cmd_is_listed = false;
		cmd_state = Complete
	}
}

/* Claim::complete(), for a worker or with the lock held */
inline complete_queued(f, is_worker) {
#ifdef OWNER_DROPPED_FIRST
	put_flight(f, false);
#endif
	if
	:: is_worker -> lock_ring()
	:: else
	fi;
	assert(cmd_flight == f);
	complete();
	if
	:: is_worker -> unlock_ring()
	:: else
	fi;
	d_step { has_claim = false }
#ifndef OWNER_DROPPED_FIRST
	put_flight(f, false)
#endif
}

/* io_uring_cmd_mark_cancelable() */
inline mark_cancelable(is_worker) {
	if
	:: is_worker -> lock_ring()
	:: else
	fi;
	cmd_is_listed = true;
	if
	:: is_worker -> unlock_ring()
	:: else
	fi
}

/* Submitted::queue() */
inline queue(is_worker) {
	if
	:: has_ended_rpc(flight) -> finish_rpc(flight); complete_at_once(is_worker)
	:: else ->
		d_step { flight_is_there(flight); flight_refs[flight]++; cmd_flight = flight }
		/* A cancellation in between finds no command, but has signalled the worker before. */
		mark_cancelable(is_worker);
		cmd_is_set[flight] = true;
		if
		:: d_step { phase[flight] == Submitting -> phase[flight] = Pending }
#ifndef SIGNAL_IGNORED
			if
			:: is_worker && worker_is_signalled ->
				end_rpc(flight, Cancelled);
				if
				:: was != Unused -> end_queued(flight, is_worker)
				:: else
				fi;
				was = Unused
			:: else
			fi
#endif
		:: else -> end_queued(flight, is_worker)
		fi
	fi;
	put_flight(flight, false);
	flight = NO_FLIGHT
}

/* Completes a command that has ended, unless another task does. */
inline end_queued(f, is_worker) {
	claim(f);
	if
	:: has_claim -> finish_rpc(f); complete_queued(f, is_worker)
	:: else
	fi
}

inline complete_at_once(is_worker) {
	if
	:: is_worker -> lock_ring()
	:: else
	fi;
	complete();
	if
	:: is_worker -> unlock_ring()
	:: else
	fi
}

/* uring_cmd(): execute_queued() */
inline issue(who, file, is_worker) {
	d_step { device_is_there; may_call = is_active }
	if
	:: may_call -> submit(who, file)
	:: else
	fi;
	if
	:: flight != NO_FLIGHT -> queue(is_worker)
	:: else -> complete_at_once(is_worker)
	fi;
	may_call = false
}

/* Completion::complete(), as task work */
inline task_work() {
	lock_ring();
	d_step { assert(cmd_state == Issued && cmd_has_work); flight = cmd_flight; cmd_has_work = false }
	finish_rpc(flight);
	complete();
	put_flight(flight, false);
	flight = NO_FLIGHT;
	unlock_ring()
}

/* io_try_cancel(): interrupts a worker, then asks Completion::cancel() */
inline cancel() {
	d_step {
		if
		:: worker_runs -> worker_is_signalled = true
		:: else
		fi
	}
	lock_ring();
	if
	:: cmd_state == Issued && cmd_is_listed ->
		flight = cmd_flight;
		flight_is_there(flight);
		if
		:: cmd_is_set[flight] ->
			end_rpc(flight, Cancelled);
			if
			:: was != Unused -> end_queued(flight, false)
			:: else
			fi;
			was = Unused
		:: else
		fi;
		flight = NO_FLIGHT
	:: else
	fi;
	d_step {
		ring_is_locked = false;
		cancel_is_over = true;
		assert(worker_runs || no_cancel_is_lost)
	}
}

/* IOSQE_ASYNC, or a command that was issued again */
proctype worker() {
	bool failed = false, may_call = false, wakes = false, has_claim = false;
	mtype:phase was = Unused;
	byte flight = NO_FLIGHT;

end_idle:
	do
	:: worker_runs ->
		issue(0, 0, true);
		d_step { assert(no_cancel_is_lost); worker_runs = false; worker_is_signalled = false }
	od
}
#endif

/* Interrupts: the driver's handlers answer at any time, or never. */
proctype interrupts() {
	bool has_claim = false;
	mtype:phase was = Unused;
	byte flight = 0;

end_idle:
	do
#ifndef WITH_SILENCE
	:: atomic {
		!handlers_have_ended && (is_held[0] || is_held[1]) ->
		if
		:: is_held[0] -> flight = 0
		:: is_held[1] -> flight = 1
		fi;
		is_held[flight] = false;
		handler_runs = true
	   }
	   assert(has_driver && has_data);
	   answer(flight, true);
	   d_step { assert(has_core && has_driver && has_data); handler_runs = false; flight = 0 }
#endif
	/* The callbacks of RCU, after a grace period */
	:: atomic { waits_for_rcu[0] -> in_core; waits_for_rcu[0] = false; put_flight(0, false) }
	:: atomic { waits_for_rcu[1] -> in_core; waits_for_rcu[1] = false; put_flight(1, false) }
	od
}

/* Dropping the data ends the driver's handlers, and drops what they have not answered. */
inline end_handlers() {
#ifdef DATA_WAIT_FOR_ANSWERS
	!is_held[0] && !is_held[1];
#endif
#ifndef HANDLERS_OUTLIVE_THE_DATA
	handlers_have_ended = true;
	!handler_runs;
	do
	:: one < FLIGHTS ->
		if
		:: is_held[one] -> is_held[one] = false; answer(one, false)
		:: else
		fi;
		one++
	:: else -> break
	od;
	one = 0
#else
	skip
#endif
}
#endif

/*
 * uctx.rs
 */

inline uctx_open(who, file, opened, may_call, failed) {
	d_step { device_is_there; may_call = is_active }
	if
	:: may_call ->
		d_step { device_is_there; assert(uctx[file] == None); uctx[file] = Allocated }
		enter(who, may_call);
		if
		:: may_call ->
			assert(!is_late);
			driver_open(file, failed);
			if
			:: failed
#ifdef LIST_AFTER_THE_CALL
			:: else -> leave(); add_context(file); d_step { count++; opened = true }
#else
			:: else -> add_context(file); opened = true
#endif
			fi;
			leave()
		:: else
		fi;
		if
		:: !opened -> uctx_free(file)
		:: else
		fi
	:: else
	fi;
	d_step { may_call = false; failed = false }
}

inline uctx_free(file) {
	d_step { assert(uctx[file] == Allocated || uctx[file] == Closed); assert(!is_listed[file]); uctx[file] = None }
}

inline uctx_close(who, file, may_call, was_listed) {
	close_context(who, file, may_call, was_listed);
	uctx_free(file)
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

/* Drops the references of an open file: first that of the cdev, last that of the operations. */
inline put_file(who) {
	put_cdev(is_last);
#ifndef FILES_DO_NOT_HOLD_THE_CORE
	d_step { assert(core_refs >= 2); core_refs = core_refs - 2 }
#endif
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

/* The last one releases the file: release() of file.rs, then the references of the VFS. */
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

/* User memory that arrives late or never, by userfaultfd or FUSE. */
inline copy_from_user() {
#ifdef WITH_SLOW_PROGRAM
	if
	:: true
	:: program_is_stuck = true;
end_stuck:	false
	fi
#else
	skip
#endif
}

inline ioctl(who, file) {
	d_step { in_core; is_late = is_unregistered }
#ifdef NO_CHECK_LIVE
	may_call = true;
#else
	d_step { device_is_there; may_call = is_active }
#endif
	if
	:: may_call ->
#ifndef USER_MEMORY_IN_A_CALL
		copy_from_user();
#endif
#ifdef WITH_ASYNC
		rpc_by_ioctl(who, file)
#else
		enter(who, may_call);
		if
		:: may_call ->
			assert(!is_late);
#ifdef USER_MEMORY_IN_A_CALL
			copy_from_user();
#endif
			driver_call(who, file);
			leave()
		:: else
		fi
#endif
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

/* poll(2) for POLLHUP, without timeout */
inline poll_for_the_end(file) {
#ifdef LOOK_BEFORE_POLL_WAIT
	if
	:: !is_active
	:: else -> d_step { device_is_there; poller_sleeps = true }
		!poller_sleeps
	fi
#else
	d_step { device_is_there; poller_sleeps = true }
	if
	:: d_step { !is_active -> device_is_there; poller_sleeps = false }
	:: d_step { else -> device_is_there }
		!poller_sleeps
	fi
#endif
}

/*
 * The processes
 */

#ifdef WITH_ASYNC
#define ASYNC_LOCALS byte flight = NO_FLIGHT; mtype:phase was = Unused; bool has_claim = false;
#define ASYNC_ENDER mtype:phase was = Unused; bool has_claim = false;
#else
#define ASYNC_LOCALS
#define ASYNC_ENDER
#endif

proctype user(byte me) {
	ASYNC_LOCALS
	bool found = false, opened = false, failed = false, may_call = false, was_listed = false;
	bool is_last = false, goes = false, has_it = false, is_late = false, wakes = false;

	do
	/* One of the users that share a file opens it. */
#ifdef WITH_URING
	/* Opened once: there is one RPC. */
	:: !is_unregistered && !has_opened && !is_exiting -> has_opened = true; open(me, 0)
#else
	:: (me == 0 || me == 2) && !is_unregistered && file_refs[FILE_OF(me)] == 0 && uctx[FILE_OF(me)] == None ->
		open(me, FILE_OF(me))
#endif
#ifndef WITH_URING
	:: has_fd[FILE_OF(me)] && me != 3 ->
		fget(FILE_OF(me), has_it);
		if
		:: has_it -> ioctl(me, FILE_OF(me)); fput(me, FILE_OF(me))
		:: else
		fi;
		has_it = false
#endif
	:: has_fd[FILE_OF(me)] && me == 3 ->
		fget(FILE_OF(me), has_it);
		if
		:: has_it -> poll_for_the_end(FILE_OF(me)); fput(me, FILE_OF(me))
		:: else
		fi;
		has_it = false
#ifdef WITH_URING
	/* The file is held until the CQE was posted. */
	:: has_fd[0] && !is_issued && !worker_runs && next_flight < RPCS ->
		d_step { file_refs[0]++; cmd_state = Issued }
		if
#ifdef WITH_WORKER
		:: worker_runs = true
#else
		:: lock_ring(); issue(me, 0, false); unlock_ring()
#endif
		fi
	:: cmd_has_work -> task_work()
	/* Closing the ring cancels the command until it has ended. */
	:: cmd_state == Issued && !cmd_has_work && (is_exiting || !cancel_is_over) -> cancel()
	/* A reference to the file is dropped: by close(2), or with the CQE. */
	:: has_fd[0] || (cmd_state == Complete && !worker_runs) ->
		if
		:: d_step { has_fd[0] -> has_fd[0] = false }
		:: d_step { cmd_state == Complete && !worker_runs -> cmd_state = NoCmd; cmd_flight = NO_FLIGHT; cancel_is_over = false }
		fi;
		fput(me, 0)
	:: !is_exiting -> is_exiting = true
	:: is_exiting && !is_issued && !has_fd[0] -> break
#else
	:: has_fd[FILE_OF(me)] -> close(me, FILE_OF(me))
	:: break
#endif
	od;
#ifndef WITH_URING
	/* An open after the end returns ENODEV or ENXIO. */
	if
	:: me == 2 && is_unregistered && uctx[1] == None && !core_is_going -> open(me, 1)
	:: else
	fi;
	close(me, FILE_OF(me))
#endif
	skip
}

/* The body of end(), as a process per task, so the code is in the model once. */
proctype ending(byte me) {
	ASYNC_ENDER
	bool ended = false, won = false, is_last = false;
	byte one = 0;

end_idle:
	do
	:: asks_to_end[me] ->
		end(me, ended);
		d_step { has_returned_true[me] = ended; ended = false; asks_to_end[me] = false }
	od
}

/* A task of the driver that drops the guard at any time. */
proctype guardian() {
	bool ended = false;

	guard != Undecided;
	if
	:: guard == Task -> ask_to_end(GUARD, ended); put_device(); guard = Nothing
	:: else
	fi
}

inline lock_host() { atomic { !host_is_locked -> host_is_locked = true } }
inline unlock_host() { host_is_locked = false }

/* Drops the guard if the data of the bus driver own it. */
inline drop_bus_data(me, ended) {
	if
	:: guard == BusData -> ask_to_end(me, ended); put_device(); guard = Nothing
	:: else
	fi;
	ended = false
}

/* really_probe() */
inline probe() {
	lock_host();
#ifdef WITH_LATE_REGISTRATION
	is_bound = true;
#else
	register_for_host(BUS, failed);
	if
	:: failed -> guard = Nothing
	:: else ->
		if
#ifdef WITH_GUARDS
		:: guard = Data
		:: guard = Task
		:: guard = Forgotten
#endif
#ifdef WITH_HOST_LEFT_BOUND
		:: guard = Forgotten
#else
		:: guard = BusData
#endif
		fi;
#ifndef WITH_HOST_LEFT_BOUND
		if
		:: is_bound = true
#ifndef WITH_WORKER
		/* The driver's probe fails after the registration. */
		:: true -> drop_bus_data(BUS, ended);
#ifndef NO_NOTIFIER_FOR_A_FAILED_PROBE
			bus_notifier(BUS, ended);
#endif
			teardown_has_begun = true;
			devres(BUS, ended);
			assert(!has_data)
#endif
		fi
#else
		is_bound = true
#endif
	fi;
#endif
	unlock_host()
}

/* device_release_driver() */
inline unbind() {
	lock_host();
	if
	:: is_bound ->
#ifdef WITH_TEST_REMOVE
		/* DEBUG_TEST_DRIVER_REMOVE, within the probe: the notifier is not called */
#else
#ifdef BUS_NOTIFIER_AFTER_UNBIND
		teardown_has_begun = true;
#endif
#ifndef NO_BUS_NOTIFIER
		bus_notifier(BUS, ended);
#endif
		/* The driver's unbind() */
		teardown_has_begun = true;
#endif
#ifdef WITH_LATE_REGISTRATION
		register_for_host(BUS, failed);
		if
		:: failed -> guard = Nothing
		:: else -> guard = Forgotten
		fi;
#endif
		drop_bus_data(BUS, ended);
		devres(BUS, ended);
		assert(!has_data);
		is_bound = false
	:: else
	fi;
	unlock_host()
}

/* The driver's exit() has run. */
inline module_notifier(me, ended) {
#ifdef NO_MODULE_NOTIFIER
	skip
#else
#ifdef HOST_OF_ANOTHER_DRIVER
	/* The entry names the module of the host's driver. */
	skip
#else
	end_all(me, ended)
#endif
#endif
}

/* A C driver that calls fwctl_register() and fwctl_unregister(). */
inline probe_in_c() {
	lock_host();
	d_step { device_is_freed = false; has_data = true; device_refs = 1; cdev_refs = 1 }
	register(failed);
	if
	:: failed -> put_device(); has_data = false
	:: else -> is_bound = true
	fi;
	unlock_host()
}

inline unbind_in_c() {
	lock_host();
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
	fi;
	unlock_host()
}

#ifdef WITH_HOST_LEFT_BOUND
/*
 * The host is unbound at any time, or never: it has another driver, or the step that unbinds it is
 * missing.
 */
proctype bus() {
	bool ended = false, failed = false, is_released = false;

	guard != Undecided;
	if
	:: unbind()
	:: true
	fi
}
#endif

proctype modules() {
	ASYNC_ENDER
	bool ended = false, is_last = false, failed = false, is_released = false;
	byte one = 0;

#ifdef WITH_C_DRIVER
	probe_in_c();
	unbind_in_c();
#else
	probe();
#ifndef WITH_HOST_LEFT_BOUND
	unbind();
#endif
#ifdef WITH_HOST_LEFT_BOUND
	module_notifier(LOADER, ended);
#else
	module_notifier(BUS, ended);
#endif
	/* The driver waits for its own tasks. */
	guard != Task;
#endif

	/* The driver's module, which open files do not pin. */
	d_step { assert(!has_data && !is_entered); has_driver = false; core_refs-- }

	/* The module of the core, once nothing pins it. */
	do
	:: atomic { core_refs == 0 -> core_is_going = true }
#if defined(WITH_ASYNC) && !defined(NO_BARRIER)
		/* LateAnswers */
		!waits_for_rcu[0] && !waits_for_rcu[1];
#endif
		atomic { !notifier_runs -> has_notifier = false }
		has_core = false;
		/* Everything was released, except by a driver that has forgotten its guard. */
		assert(device_is_freed || guard == Forgotten);
#ifdef WITH_ASYNC
		assert(flight_refs[0] == 0 && flight_refs[1] == 0);
#endif
		break
	:: program_is_stuck -> break
	od
}

init {
	atomic {
		run modules();
#ifndef WITH_C_DRIVER
		run ending(BUS);
#endif
#ifdef WITH_HOST_LEFT_BOUND
		run bus();
		run ending(LOADER);
#endif
#ifdef WITH_GUARDS
		run guardian();
		run ending(GUARD);
#endif
#ifdef WITH_ASYNC
		run interrupts();
#endif
#ifdef WITH_WORKER
		run worker();
#endif
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

/* An unregistration that has begun ends, however many RPCs there are. */
#ifdef PROGRESS
ltl unregistration_ends { [] (is_unregistering -> <> is_unregistered) }
#endif
