/* How workers without work sleep, and how those who have work for them wake them: pool/crowd.go crowd, pool/idle.go wait. */
/* run: WORKERS=2 HINTS=3 KILLS=1 SPINNERS=1 NAPS */
/* variants: LOOK_BEFORE_ANNOUNCE WAKE_BEFORE_PUBLISH LATE_TICKET NO_CALL_NEXT NO_WAKE_ALL NO_REHINT */
/* run: WORKERS=3 HINTS=2 SPINNERS=1 */
/* run: WORKERS=3 HINTS=2 KILLS=1 */
/* run: WORKERS=3 HINTS=2 NAPS */
/* run: WORKERS=3 HINTS=3 BATCHES */
/* variants: NO_CALL_NEXT RING_ONLY */

/*
 * The parent publishes HINTS tasks. Each of the workers takes what it finds and runs it; between tasks it spins, naps, or sleeps without
 * a limit of time. One may be killed between any two steps, and no other takes its place.
 *
 * A task lasts until the last one is claimed, or nobody is left to claim it: as if each had to meet all others. So a hint that waits
 * for a worker who sleeps, while all others are busy, leaves everybody blocked: spin reports that as an invalid end state, as it does
 * a worker who sleeps through the end of the pool.
 */

#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef HINTS
#define HINTS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef SPINNERS
#define SPINNERS 0     /* pool/idle.go newIdling: processors, less the parent's */
#endif
#define CELLS (HINTS + HINTS)
#define BIT(i) (1 << (i))
#define LOWEST(set) (set & 1 -> 0 : (set & 2 -> 1 : 2))
#define HIGHEST(set) (set & 4 -> 4 : (set & 2 -> 2 : 1))

byte ready[CELLS];     /* pool/submit.go push: the ready ring; it is not full in this model */
byte head, tail;
byte queued;           /* pool/word.go queued: a bit for each slot */
byte hint[HINTS];      /* pool/submit.go entry: where the slot's last hint is */
byte sleepers, spinners, nappers; /* pool/layout.go idleSets */
bool same[WORKERS];    /* the wake word is what its worker saw last */
bool asleep[WORKERS];  /* in the kernel */
byte present = WORKERS; /* pool/staff.go count */
#ifdef BATCHES
byte shown[WORKERS];   /* pool/batch.go show: a bit for each task in a batch, but the first */
#endif
bool stop;             /* pool/kill.go stopWorkers */
byte alive = WORKERS, busy, published;
byte kills;            /* deaths that may come; none, if it was so decided at the start: who can die is not blocked */
bool dead[WORKERS];

/* A worker that is killed between two of its writes is, for all others, killed before the second. */
#define DIE d_step { i < WORKERS && kills > 0 -> kills--; alive--; busy = busy - works; asleep[i] = false; same[i] = false; dead[i] = true }; goto over
#define WRITE(x) if :: x :: DIE fi

#define empty (head == tail) /* ring/hints.go Empty */
#define MAYSPIN (SPINNERS > 0 && (spinners == 0 || SPINNERS > 1 && (spinners & (spinners - 1)) == 0)) /* pool/crowd.go count */
#define awake(gone) (present > ((gone) & 1) + ((gone) >> 1 & 1) + ((gone) >> 2 & 1)) /* pool/crowd.go awake: more than 0 */

/* pool/crowd.go wake: raises the word, then FUTEX_WAKE. In one step: only a worker with a newer ticket could sleep in between, and it
   would be woken for nothing. */
inline wake(k) { d_step { same[k] = false; asleep[k] = false } }

/* pool/crowd.go wakeOne: takes the first worker out of a set and wakes it */
inline wakeOne(set) {
	do
	:: set == 0 -> break                          /* pool/crowd.go wakeOne: the load */
	:: atomic { else -> one = LOWEST(set) }
		if
		:: d_step { set & BIT(one) -> set = set & ~BIT(one) } /* pool/crowd.go unset: only one caller gets true */
			WRITE(d_step { same[one] = false; asleep[one] = false; one = 0 }); /* pool/crowd.go wake */
			break
		:: d_step { !(set & BIT(one)) -> one = 0 }
		:: DIE
		fi
	od
}

/* pool/crowd.go call: sleepers, spinners, nappers, in this order */
#ifndef BATCHES
inline call() {
	if
	:: sleepers != 0 ->                           /* pool/crowd.go call */
		if
		:: spinners == 0 ->                   /* pool/crowd.go callSleeper */
			if
			:: nappers == 0 -> wakeOne(sleepers)
			:: else
			fi
		:: else
		fi
	:: else
	fi
}
#endif

/* pool/crowd.go call, in one step: that of a worker where there are three, and all where there are batches. The other runs take it apart. */
inline callAtOnce() {
	d_step {
		if
		:: sleepers != 0 && spinners == 0 && nappers == 0 ->
			one = LOWEST(sleepers); sleepers = sleepers & ~BIT(one); same[one] = false; asleep[one] = false; one = 0
		:: else
		fi
	}
}
#ifdef BATCHES
#define call() callAtOnce()
#endif
#if WORKERS > 2
#define callNext() callAtOnce()
#else
#define callNext() call()
#endif

#ifdef BATCHES
/* pool/batch.go waiting: the last task of worker k's batch that nobody has claimed, and whether there are more */
inline stealFrom(k) {
	if
	:: d_step { mine == 0 && k != i && (shown[k] & queued) -> mine = HIGHEST(shown[k] & queued) }
	:: else
	fi
}

#define anyShown (((shown[0] | shown[1] | shown[2]) & queued) != 0) /* pool/batch.go waiting: of all batches */

/* pool/batch.go steal; pool/batch.go shared: looks at one batch after the other */
inline steal() { stealFrom(0); stealFrom(1); stealFrom(2) }
#else
#define mine 0
#define anyShown false
#endif

/* pool/idle.go wait: out of the set again */
inline leave(set) {
	WRITE(set = set & ~BIT(i));                   /* pool/crowd.go unset: a full fence */
}

/* pool/idle.go callNext: while this worker was in a set, calls were left out because of it, and calls that were meant for several tasks may
   have hit it alone. So with the first task that it claims afterwards it calls the next, if any other waits. */
#if defined(NO_CALL_NEXT)
#define callsNext false
#elif defined(RING_ONLY)
#define callsNext (owes && !empty)
#else
#define callsNext (owes && (!empty || anyShown)) /* that the look follows the claim at once saves states: what comes in between is called for */
#endif

/* pool/idle.go wait: spins, naps and sleeps, as far as the one before has found nothing */
inline wait() {
	if
	:: MAYSPIN ->                                 /* pool/idle.go spin: counts, then sets */
		WRITE(spinners = spinners | BIT(i));  /* pool/crowd.go set */
		if
		:: d_step { !empty || stop -> found = true } /* pool/idle.go spin: a look; pool/idle.go unwanted */
#ifdef BATCHES
		:: skip; steal(); if :: mine -> found = true :: else fi
#endif
		:: skip                               /* pool/idle.go spin: the time was over after the last look */
		fi;
		leave(spinners)
	:: else
	fi;
#ifdef NAPS
	if
	:: !found && nappers == 0 ->                  /* pool/idle.go nap: one at a time */
		WRITE(nappers = nappers | BIT(i));    /* pool/crowd.go set */
		/* How often it naps before it looks does not matter here, and a nap ends by itself. */
		gone = sleepers;                      /* pool/crowd.go awake: loads one set and then the other */
		if
		:: d_step { !awake(gone | nappers) -> gone = 0 } /* pool/idle.go nap: nobody is awake */
		:: d_step { awake(gone | nappers) -> gone = 0; found = !empty } /* pool/idle.go nap: a look */
		fi;
		leave(nappers)
	:: skip                                       /* pool/idle.go wait: tasks come slowly, or somebody naps */
	fi;
#endif
	if
	:: !found -> sleep()
	:: else
	fi
}

/* pool/idle.go sleep: without a limit of time */
inline sleep() {
#ifndef LATE_TICKET
	same[i] = true;                               /* pool/idle.go sleep: loads the wake word */
#endif
#ifdef LOOK_BEFORE_ANNOUNCE
	found = !empty || stop;
	WRITE(sleepers = sleepers | BIT(i));
#else
	WRITE(sleepers = sleepers | BIT(i));          /* pool/crowd.go set: a full fence */
	found = !empty || stop;                       /* pool/idle.go sleep: the look that counts; pool/idle.go unwanted */
#endif
#ifdef BATCHES
	if :: !found -> steal(); if :: mine -> found = true :: else fi :: else fi;
#endif
	if
	:: !found ->
		gone = sleepers;                      /* pool/crowd.go awake */
		if
		:: d_step { awake(gone | nappers) -> gone = 0 }
		:: d_step { else -> gone = 0 }
			wakeOne(nappers)              /* pool/crowd.go wakeNapper: nobody is left who looks at once */
		fi;
#ifdef LATE_TICKET
		same[i] = true;
#endif
		atomic { asleep[i] = same[i]; same[i] = false } /* internal/sys/futex_linux.go FutexWait: looks and sleeps in one */
		WRITE(!asleep[i])
	:: else
	fi;
	same[i] = false;
	leave(sleepers)
}

/* pool/serve.go claim: the hint may be stale; pool/serve.go run: until all have met */
inline claim() {
	if
	:: d_step { queued & BIT(slot) -> queued = queued & ~BIT(slot); slot = 0; busy++; works = true; found = callsNext; owes = false } /* pool/serve.go claim: the CAS */
		if :: found -> callNext(); found = false :: else fi; /* pool/idle.go callNext */
		if
		:: d_step { queued == 0 && published == HINTS || busy == alive || stop -> busy--; works = false } /* pool/serve.go run */
		:: DIE
		fi
	:: d_step { !(queued & BIT(slot)) -> slot = 0 }
	:: DIE                                        /* with a hint that it has taken */
	fi
}

/* pool/serve.go next */
proctype worker(byte i) {
	byte slot, one, gone;
	bool found, works, owes = true;
#ifdef BATCHES
	byte mine;                                    /* pool/batch.go batch: a bit for each slot; the lowest is the next */
	do
	:: d_step { mine -> slot = LOWEST(mine); mine = mine & ~BIT(slot); shown[i] = shown[i] & ~BIT(slot) } /* pool/batch.go pop */
		claim()
	:: d_step { mine == 0 && tail - head >= 2 -> shown[i] = BIT(ready[head + 1]); mine = shown[i] | BIT(ready[head]); head = head + 2 } /* pool/batch.go take */
	:: d_step { mine == 0 && tail - head >= 3 -> shown[i] = BIT(ready[head + 1]) | BIT(ready[head + 2]); mine = shown[i] | BIT(ready[head]); head = head + 3 } /* pool/batch.go take */
#else
	do
#endif
	:: d_step { mine == 0 && !empty -> slot = ready[head]; ready[head] = 0; head++ } /* pool/batch.go take: ring/hints.go Take, CAS of head */
		claim()
	:: mine == 0 && empty ->
		if :: stop -> break :: else fi;       /* pool/serve.go next: the pool wants no more */
		wait();
		owes = true;
		found = false
	od;
over:	skip
}

/* pool/submit.go enqueue: the word, the hint, the call */
inline enqueue() {
#ifdef WAKE_BEFORE_PUBLISH
	call();
#endif
	queued = queued | BIT(published);             /* pool/submit.go enqueue: the word, which hands the slot over */
	d_step { ready[tail] = published; hint[published] = tail; tail++; published++ } /* pool/submit.go push */
#ifndef WAKE_BEFORE_PUBLISH
	call()                                        /* pool/submit.go enqueue: the call */
#endif
}

/* pool/submit.go rehint: pushes the hint of slot s, if it waits and has none ahead; pool/submit.go untaken */
inline rehint(s) {
	if
	:: queued & BIT(s) && hint[s] < head -> ready[tail] = s; hint[s] = tail; tail++
	:: else
	fi
}

/* pool/submit.go rehint: of all slots */
inline rehintAll() {
	d_step {
		rehint(0);
		rehint(1);
#if HINTS > 2
		rehint(2)
#endif
	}
}

/* pool/supervise.go exited: what a dead worker leaves */
inline exited(k) {
	d_step { sleepers = sleepers & ~BIT(k); spinners = spinners & ~BIT(k); nappers = nappers & ~BIT(k) } /* pool/crowd.go forget */
#ifndef NO_REHINT
	rehintAll();                                  /* pool/supervise.go exited: of tasks that it was about to claim */
#endif
#ifndef NO_WAKE_ALL
	wakeAll();
#endif
	present--                                     /* pool/staff.go vacate */
}

/* pool/crowd.go wakeAll: also those who do not sleep yet */
inline wakeAll() {
	sleepers = sleepers & ~BIT(0);                /* pool/crowd.go unset */
	wake(0);
	sleepers = sleepers & ~BIT(1);
	wake(1);
#if WORKERS > 2
	sleepers = sleepers & ~BIT(2);
	wake(2)
#endif
}

/* pool/pool.go Pool: the parent, one thing at a time, since it holds its lock */
active proctype parent() {
	byte one;
	byte i = WORKERS; /* it is none of them */
	bool works;
	do
	:: published < HINTS -> enqueue()
	:: atomic { dead[0] -> dead[0] = false } exited(0)
	:: atomic { dead[1] -> dead[1] = false } exited(1)
#if WORKERS > 2
	:: atomic { dead[2] -> dead[2] = false } exited(2)
#endif
	:: published == HINTS && queued == 0 -> break /* every task is claimed */
	od;
	stop = true;                                  /* pool/kill.go stopWorkers */
	wakeAll();
over:	skip
}

init {
	atomic {
		if :: kills = KILLS :: skip fi;
		run worker(0); run worker(1)
#if WORKERS > 2
		; run worker(2)
#endif
	}
}
