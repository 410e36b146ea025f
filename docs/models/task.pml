/* The life of a task: pool/word.go word, the hints that lead to it, and the deaths of those who run it. */
/* variants: REAP_WITHOUT_REHINT DOOM_AFTER_KILL CLAIM_WITHOUT_GEN FINISH_WITHOUT_CAS LOOK_BEFORE_STORE LOSE_REPORTS */

/*
 * The parent puts TASKS tasks through fewer slots. The first task's context ends some time: the task is taken back if nobody has claimed it;
 * otherwise its caller has the error at once, and it is doomed a while later if it still runs, which it may do for ever. The second may
 * begin again once. Workers take hints by the batch and steal from each other's. Of KILLS workers, besides those that are told
 * to end, each may be killed between any two steps; another takes its place.
 *
 * Holds: each task ends exactly once for its caller and once for its slot, runs no more often than it may, finds the argument that was
 * written for it, and is not ended because of another; a doomed task is never completed. No task waits for ever: everybody blocked is
 * an invalid end state. Sleeping and waking are the other models' matter: here, who can go on does.
 */

#ifndef KILLS
#define KILLS 1
#endif
#define WORKERS 2
#define SLOTS 2        /* as many hints fit in the ready ring */
#define TASKS 3
#define NONE 255

#define free 0         /* pool/word.go state: a failed task is one that is done, here */
#define queued 1
#define running 2
#define done 3
#define doomed 4

/* pool/word.go makeWord: the three parts of a word, which change together */
byte state[SLOTS], bearer[SLOTS], gen[SLOTS];

byte argument[SLOTS];  /* pool/layout.go slot: what the parent has written: for which generation */
byte taskIn[SLOTS];    /* pool/layout.go slot: for which task */
byte cells[SLOTS], waits; /* ring/hints.go Hints: the ready ring, from its head on, and how many wait there */
bool peeked[WORKERS];  /* head has not moved since that worker looked */
byte shown[WORKERS];   /* pool/batch.go show: the second of a batch, plus 1 */
chan done_[WORKERS] = [SLOTS] of { byte }; /* ring/hints.go Hints: the completion rings */
bool stop;             /* pool/kill.go stopWorkers */

/* The parent's own. pool/submit.go entry: */
bool live[SLOTS];
byte entryGen[SLOTS];
byte hint[SLOTS];      /* where the slot's last hint is, from 1 on behind the head; 0: taken, or not ahead */
byte promise[SLOTS] = NONE; /* the task whose result is wanted */
byte pursued;          /* pool/doom.go pursue: the generation that is to be doomed, in the first slot */
bool unhinted;         /* pool/submit.go push */
byte accepted, outstanding;
byte retries = 1;      /* pool/retry.go retry: of task 1 */

byte incarnation[WORKERS]; /* pool/supervise.go prepare: 0 while nobody is there */
bool dead[WORKERS];    /* a pidfd says so */
bool told[WORKERS];    /* pool/doom.go tell */
byte kills;            /* deaths that may come; none, if it was so decided at the start: who can die is not blocked */

/* What must hold. */
byte concluded;        /* tasks that have ended for their callers */

#define is(s, what, who, g) (state[s] == what && bearer[s] == who && gen[s] == g)
#define set(s, what, who, g) state[s] = what; bearer[s] = who; gen[s] = g
#define me incarnation[i]
#define runs(s, who) (state[s] == running && bearer[s] == who && taskIn[s] != 0) /* a task that nobody wants to be ended */

/* ring/hints.go Take: moves head */
inline moveHead(n) {
	cells[0] = (n == 1 -> cells[1] : 0); cells[1] = 0;
	waits = waits - n;
	hint[0] = (hint[0] > n -> hint[0] - n : 0);
	hint[1] = (hint[1] > n -> hint[1] - n : 0);
	peeked[0] = false; peeked[1] = false
}

/* A worker that is killed between two of its writes is, for all others, killed before the second. One that was told to end has doomed
   tasks only. */
#define DIE d_step { \
	kills > 0 || told[i] -> \
	if :: told[i] -> assert(!runs(0, me) && !runs(1, me)) :: else -> kills-- fi; \
	first = 0; second = 0; s = 0; g = 0; peeked[i] = false; dead[i] = true \
}; goto grave

/* pool/serve.go serve: a worker, and those who take its place */
proctype worker(byte i) {
	byte first, second, s, g; /* pool/batch.go batch: slots plus 1 */
born:	do
	:: d_step { first != 0 -> s = first - 1; first = second; second = 0 } /* pool/batch.go pop */
		if
		:: shown[i] == s + 1 -> shown[i] = 0  /* pool/batch.go pop: nobody sees it any more */
		:: shown[i] != s + 1
		:: DIE
		fi;
		/* pool/serve.go claim: a load, and a CAS from what it saw */
		if
		:: d_step { state[s] != queued -> s = 0 }
		:: atomic { state[s] == queued -> g = gen[s] }
			if
#ifdef CLAIM_WITHOUT_GEN
			:: d_step { state[s] == queued -> set(s, running, me, g) }
#else
			:: d_step { is(s, queued, 0, g) -> set(s, running, me, g); assert(argument[s] == g) } /* pool/serve.go claim: the CAS */
#endif
				/* pool/serve.go run: the first task may have no end */
				if
				:: skip
				:: taskIn[s] == 0 ->
					if :: DIE fi
				fi;
				/* pool/serve.go finish: truth first, then the hint */
				if
#ifdef FINISH_WITHOUT_CAS
				:: d_step { assert(state[s] != doomed); set(s, done, me, g) }
#else
				:: d_step { is(s, running, me, g) -> set(s, done, me, g) } /* pool/serve.go finish: the CAS */
#endif
					if
					:: d_step { nfull(done_[i]) -> done_[i]!s; s = 0; g = 0 } /* pool/serve.go push */
					:: DIE
					fi
#ifndef FINISH_WITHOUT_CAS
				:: d_step { !is(s, running, me, g) -> assert(told[i] || is(s, doomed, me, g)); first = 0; second = 0; s = 0; g = 0; dead[i] = true } /* pool/doom.go depart */
					goto grave
#endif
				:: DIE
				fi
			:: d_step { !is(s, queued, 0, g) -> s = 0; g = 0 } /* pool/serve.go claim: another was faster */
			:: DIE
			fi
		fi
	:: d_step { first == 0 && waits > 0 -> first = cells[0] + 1; moveHead(1) } /* pool/batch.go take: one */
	:: d_step { first == 0 && waits == 2 -> peeked[i] = true; s = cells[1] } /* pool/batch.go take: two; ring/hints.go Peek */
		if
		:: shown[i] = s + 1                   /* pool/batch.go show: before they are taken */
		:: DIE
		fi;
		if
		:: d_step { peeked[i] -> first = cells[0] + 1; second = cells[1] + 1; moveHead(2); s = 0 } /* ring/hints.go Take */
		:: d_step { !peeked[i] -> s = 0 }     /* ring/hints.go Take: another was faster */
		:: DIE
		fi
	:: d_step { first == 0 && shown[1 - i] != 0 && state[shown[1 - i] - 1] == queued -> first = shown[1 - i] } /* pool/batch.go steal */
	:: first == 0 && stop -> goto over            /* pool/serve.go next */
	:: DIE
	od;
grave:	if
	:: d_step { !dead[i] && me != 0 -> skip }     /* pool/supervise.go spawn: another */
		goto born
	:: dead[i] && stop || !dead[i] && stop
	fi;
over:	skip
}

/* pool/submit.go untaken: the hint of slot s has not been taken; the look at head */
#define untaken(s) (hint[s] != 0)

/* pool/submit.go push; ring/hints.go TryPush. Only the parent makes the ring fuller. */
inline push(s) {
	d_step {
		if
		:: waits < SLOTS -> cells[waits] = s; waits++; hint[s] = waits
		:: else -> hint[s] = 0; unhinted = true
		fi
	}
}

/* pool/submit.go enqueue: the word, then the hint unless one is ahead */
inline enqueue(s) {
#ifdef LOOK_BEFORE_STORE
	found = untaken(s);
	d_step { set(s, queued, 0, entryGen[s]) }
	if
	:: !found -> push(s)
	:: else
	fi
#else
	d_step { set(s, queued, 0, entryGen[s]) }     /* pool/submit.go enqueue: the store */
	if
	:: !untaken(s) -> push(s)                     /* pool/submit.go hint: the look at head comes after the store */
	:: else
	fi
#endif
}

/* pool/submit.go rehint: of all that wait, those without a hint ahead */
inline rehint() {
	unhinted = false;
	if :: live[0] && state[0] == queued && !untaken(0) -> push(0) :: else fi;
	if :: live[1] && state[1] == queued && !untaken(1) -> push(1) :: else fi
}

/* pool/promise.go finish; pool/promise.go fail: once */
inline conclude(s) {
	if
	:: promise[s] != NONE -> promise[s] = NONE; concluded++
	:: else
	fi
}

/* pool/reap.go retire; pool/reap.go ended */
inline retire(s) {
	set(s, free, 0, entryGen[s]);
	assert(live[s] && outstanding > 0);
	live[s] = false;
	taskIn[s] = 0; argument[s] = 0;
	outstanding--
}

/* pool/reap.go collect: nobody else writes the word of a task that is done */
inline collect(s) {
	conclude(s);
	hint[s] = 0;
	retire(s)
}

/* pool/reap.go settle: a report is a hint */
inline settle(s, m) {
	if
	:: live[s] && is(s, done, incarnation[m], entryGen[s]) -> collect(s)
	:: else
	fi
}

/* pool/reap.go reapFrom */
inline reapFrom(m) {
	do
	:: d_step { nempty(done_[m]) -> done_[m]?r; settle(r, m); r = 0 }
	:: empty(done_[m]) -> break
	od
}

/* pool/supervise.go inherit: of slot s, from m, who is dead */
inline inherit(s, m) {
	if
	:: d_step { live[s] && is(s, done, incarnation[m], entryGen[s]) ->
#ifdef LOSE_REPORTS
			skip
#else
			collect(s)                    /* pool/supervise.go inherit: it had not said so */
#endif
		}
	:: d_step { live[s] && state[s] == running && bearer[s] == incarnation[m] && promise[s] == 1 && retries > 0 ->
			retries--;                    /* pool/retry.go retry */
			hint[s] = 0;             /* pool/rebuild.go restart */
			entryGen[s]++;
			argument[s] = entryGen[s]
		}
		enqueue(s)                            /* pool/rebuild.go restart: as if it came anew */
	:: d_step { live[s] && (state[s] == doomed || state[s] == running && !(promise[s] == 1 && retries > 0)) && bearer[s] == incarnation[m] ->
			conclude(s);                  /* pool/supervise.go bury */
			hint[s] = 0;
			retire(s)
		}
	:: else
	fi
}

/* pool/supervise.go exited */
inline exited(m) {
	reapFrom(0);
	reapFrom(1);
	inherit(0, m);
	inherit(1, m);
#ifndef REAP_WITHOUT_REHINT
	rehint();                                     /* pool/supervise.go exited: of tasks that it was about to claim */
#endif
	d_step {                                      /* pool/supervise.go prepare: for the next in its place */
		told[m] = false;
		shown[m] = 0;
		incarnation[m] = (incarnation[m] <= WORKERS -> incarnation[m] + WORKERS : incarnation[m] - WORKERS);
		dead[m] = false
	}
}

/* pool/submit.go publish: in slot s */
inline submit(s) {
	d_step {
		live[s] = true;
		promise[s] = accepted;
		entryGen[s]++;
		assert(state[s] == free);             /* nobody reads what is written now */
		taskIn[s] = accepted;
		argument[s] = entryGen[s];
		accepted++;
		outstanding++
	}
	enqueue(s)
}

/* pool/submit.go abandon: the context of the task in slot s has ended */
inline abandon(s) {
	if
	:: d_step { is(s, queued, 0, entryGen[s]) -> conclude(s); retire(s) } /* pool/submit.go abandon: taken back; its hint stays */
	:: d_step { else -> conclude(s); pursued = entryGen[s] } /* pool/submit.go abandon: its caller goes on; pool/doom.go pursue */
	fi
}

/* pool/doom.go doom: of slot s, unless it has ended meanwhile */
inline doom(s) {
#ifdef DOOM_AFTER_KILL
	if
	:: d_step { live[s] && entryGen[s] == pursued && state[s] == running -> r = bearer[s] }
		told[(r - 1) % WORKERS] = true;
		d_step { if :: is(s, running, r, entryGen[s]) -> state[s] = doomed :: else fi; r = 0 }
	:: else
	fi
#else
	if
	:: d_step { live[s] && entryGen[s] == pursued && state[s] == running -> state[s] = doomed; r = bearer[s] } /* pool/doom.go doom: the CAS */
		d_step { told[(r - 1) % WORKERS] = true; r = 0 } /* pool/doom.go tell */
	:: else
	fi
#endif
	;
	pursued = 0
}

/* pool/pool.go Pool: the parent, one thing at a time, since it holds its lock */
active proctype parent() {
	byte r;
	bool found;
	d_step { incarnation[0] = 1; incarnation[1] = 2 }
	atomic {
		if :: kills = KILLS :: skip fi;
		run worker(0);
		run worker(1)
	}
	do
	:: accepted < TASKS && !live[0] -> submit(0)
	:: accepted < TASKS && live[0] && !live[1] -> submit(1)
	:: live[0] && promise[0] == 0 -> abandon(0)   /* the first task is in the first slot */
	:: pursued != 0 -> doom(0)
	:: nempty(done_[0]) -> reapFrom(0)            /* pool/reap.go reap */
	:: nempty(done_[1]) -> reapFrom(1)
	:: dead[0] -> exited(0)
	:: dead[1] -> exited(1)
	:: timeout && unhinted -> rehint()            /* pool/reap.go reap: the ring was full */
	:: accepted == TASKS && outstanding == 0 -> break
	od;
	stop = true;                                  /* pool/kill.go stopWorkers */
	assert(concluded == TASKS && promise[0] == NONE && promise[1] == NONE)
}
