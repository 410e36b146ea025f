/* How the parent learns that tasks have ended: pool/bell.go ring and its callers. */
/* variants: LOOK_BEFORE_ANNOUNCE NO_WAKE_AT_EXIT NO_INHERIT NO_FENCE RING_BEFORE_REPORT */

/*
 * One worker runs two tasks, the other one, and each task is reported. The parent sleeps on the bell, without a limit of time; a
 * caller looks for results at the same time. A worker may be killed between any two steps.
 *
 * Holds: every task ends for the parent, and it wakes when it is to go. A lost completion leaves somebody blocked, which spin
 * reports as an invalid end state.
 *
 * A report is stored without a fence, so it passes through a store buffer here: only a fence, or time, makes it seen.
 */

#define WORKERS 2
#define TASKS(i) (2 - (i)) /* that worker i runs */
#define ALL 3

byte bell;              /* pool/bell.go bell: 1 while the parent sleeps or is about to */
bool asleep;            /* in the kernel: the reaper waits on the bell */
bool mu;                /* pool/pool.go Pool: its lock */
bool gone;              /* pool/reaper.go stopReaper: the pool has ended */
bool stop;              /* pool/kill.go stopWorkers */
byte ended;             /* tasks that the parent knows to have ended */
byte outside;           /* workers whose end was seen to */
byte finished[WORKERS]; /* tasks whose word says done */
byte buffered[WORKERS]; /* reports in the store buffer */
byte reports[WORKERS];  /* reports in the completion ring, ever */
byte taken[WORKERS];    /* of these, those that the parent has taken */
bool killed[WORKERS], dead[WORKERS];

/* environment: a mutex, which says nothing of order */
inline lock() { atomic { !mu -> mu = true } }
inline unlock() { mu = false }

/* ring/hints.go TryPushUnfenced: the report is in the buffer; a fence, or a locked instruction, empties it */
inline fence(i) { reports[i] = reports[i] + buffered[i]; buffered[i] = 0 }

/* pool/bell.go ring: load, CAS, FUTEX_WAKE */
inline ring(i) {
	if
	:: bell == 1 ->
		if
		:: atomic { bell == 1 -> bell = 0; fence(i) }
			asleep = false
		:: else
		fi
	:: else
	fi
}

/* pool/serve.go runTasks */
proctype worker(byte i) {
	byte n;
	{
		do
		:: atomic { n < TASKS(i) -> fence(i) }         /* pool/serve.go claim: its CAS is a full fence */
#ifndef RING_BEFORE_REPORT
			if :: n > 0 -> ring(i) :: else fi;     /* pool/serve.go ring: for the last report, fenced by the claim */
#endif
			d_step { fence(i); finished[i]++ }     /* pool/serve.go finish: CAS, truth first */
#ifdef RING_BEFORE_REPORT
			ring(i);
#endif
			d_step { buffered[i]++; n++ }          /* pool/serve.go push: then the hint, unfenced */
		:: else -> break
		od;
#ifndef NO_FENCE
		atomic { fence(i) }                            /* pool/serve.go next: the store to batch[0] */
#endif
#ifndef RING_BEFORE_REPORT
		ring(i);                                       /* pool/serve.go next: before it waits */
#endif
		stop                                           /* pool/serve.go next: the pool wants no more */
	} unless { killed[i] }
	d_step { fence(i); dead[i] = true }                    /* a processor finishes its stores before it runs something else */
}

/* environment: what a processor has not stored yet is stored some time */
active proctype buffers() {
	do
	:: d_step { buffered[0] > 0 -> fence(0) }
	:: d_step { buffered[1] > 0 -> fence(1) }
	:: gone -> break
	od
}

/* pool/reap.go reap: one look at each completion ring, and what it finds is settled */
inline reap() {
	found = 0;
	i = 0;
	do
	:: i < WORKERS ->
		d_step { /* pool/reap.go reapFrom: what is there at this moment */
			found = found + reports[i] - taken[i];
			ended = ended + reports[i] - taken[i];
			taken[i] = reports[i];
			i++
		}
	:: else -> break
	od
}

/* pool/reaper.go reapLoop: the only thread that sleeps on the bell */
active proctype reaper() {
	byte i, found;
again:	lock();                               /* pool/reaper.go reapOnce */
	if
	:: gone -> unlock(); goto over
	:: else
	fi;
#ifdef LOOK_BEFORE_ANNOUNCE
	reap();
	if :: found == 0 -> bell = 1 :: else fi;
#else
	bell = 1;                             /* pool/bell.go announce */
	reap();                               /* pool/reaper.go reapOnce: the last look */
#endif
	if
	:: found > 0 ->
		bell = 0;                     /* pool/bell.go retract; a nap ends by itself */
		unlock();
		goto again
	:: else -> unlock()
	fi;
	d_step { asleep = (bell == 1) }       /* pool/bell.go sleep: FUTEX_WAIT looks and sleeps in one */
	!asleep;                              /* woken, or refused; its limit of time is not needed */
	goto again;
over:	skip
}

/* pool/await.go spin: a caller looks for its result itself, beside the reaper */
active proctype caller() {
	byte i, found;
	lock(); reap(); unlock()              /* pool/await.go reapSome */
}

/* pool/supervise.go exited: one for each worker, after proof of its death */
proctype watcher(byte w) {
	byte i, found;
	dead[w];
	lock();
	reap();                               /* pool/supervise.go exited: what it has said */
	atomic {                              /* pool/supervise.go inherit: what it has not said, or not done */
#ifdef NO_INHERIT
		ended = ended + TASKS(w) - finished[w];
#else
		ended = ended + TASKS(w) - reports[w];
#endif
	}
#ifndef NO_WAKE_AT_EXIT
	asleep = false;                       /* pool/supervise.go exited: FUTEX_WAKE on the bell */
#endif
	unlock();
	outside++
}

/* environment: a signal from anywhere */
active proctype killer() {
	if
	:: killed[0] = true
	:: killed[1] = true
	:: skip
	fi
}

init {
	byte i;
	atomic {
		do
		:: i < WORKERS -> run worker(i); run watcher(i); i++
		:: else -> break
		od
	}
	ended == ALL;                         /* pool/await.go awaitIdle: every task has ended */
	stop = true;                          /* pool/kill.go stopWorkers */
	outside == WORKERS;
	lock(); gone = true;                  /* pool/reaper.go stopReaper */
	bell = 0; asleep = false;             /* pool/bell.go rouse */
	unlock();
	assert(ended == ALL)                  /* none twice */
}
