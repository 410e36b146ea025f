/* How a parent that sleeps without a bound learns that somebody wants something: pool/reaper.go hibernate and its callers. */
/* variants: LOOK_BEFORE_ANNOUNCE BELIEVE_BELL NO_RING NO_RING_FOR_DEAD NO_KICK NO_ROUSE_AT_END */

/*
 * Two processes from outside ask for something, of which the first may be killed between any two steps. A goroutine of the parent's own wants the
 * reaper. A worker that has taken the bell may be stopped before it wakes anybody. There is no limit of time anywhere.
 *
 * Holds: the second is answered, whatever the first has left; the goroutine is noticed; and the reaper ends with the pool. Who sleeps for ever beside
 * a request is an invalid end state.
 */

#define ANSWER 10       /* added to a request */

byte bell;              /* pool/bell.go bell: 1 while the parent sleeps or is about to */
bool asleep;            /* in the kernel */
bool mu;                /* pool/pool.go Pool: its lock */
bool dormant, gone;     /* pool/pool.go Pool: guarded by the lock */
bool wanted, noticed;   /* what the goroutine wants the reaper for */
byte word;              /* internal/telemetry/request.go Requests: who asks, 1 or 2, or who is answered */
bool killed, answered;

/* environment: a mutex, which says nothing of order */
inline lock() { atomic { !mu -> mu = true } }
inline unlock() { mu = false }

/* pool/bell.go rouse: store, FUTEX_WAKE */
inline rouse() {
#ifdef BELIEVE_BELL
	if
	:: atomic { bell == 1 -> bell = 0 } asleep = false
	:: else
	fi
#else
	bell = 0;
	asleep = false
#endif
}

/* pool/requests.go serveRequest: load, CAS */
inline serve() {
	if
	:: atomic { word == 1 || word == 2 -> word = word + ANSWER }
	:: else
	fi
}

/* pool/reaper.go rest: as long as nobody wants it, it comes there again */
active proctype reaper() {
again:	lock();
	if
	:: gone -> unlock(); goto over
	:: else
	fi;
	if :: wanted -> noticed = true :: else fi;
	dormant = true;
#ifdef LOOK_BEFORE_ANNOUNCE
	serve();
	bell = 1;
#else
	bell = 1;                             /* pool/bell.go announce */
	serve();                              /* pool/reaper.go hibernate: the last look */
#endif
	unlock();
	d_step { asleep = (bell == 1) }       /* pool/bell.go sleep: FUTEX_WAIT looks and sleeps in one */
	!asleep;
	lock();
	dormant = false;
	unlock();
	goto again;
over:	skip
}

/* pool/operate.go ask: one from outside, who may be killed */
proctype mortal() {
	{
		atomic { word == 0 || word > ANSWER -> word = 1 } /* pool/operate.go post: CAS */
		rouse();
		word != 1 || gone;                    /* pool/operate.go await: an answer, or another's request; pause: the pool has left */
		if
		:: atomic { word == 1 + ANSWER -> word = 0 }
		:: else
		fi
	} unless { killed }
}

/* pool/operate.go ask: the other */
active proctype asker() {
again:	if
	:: atomic { word == 0 || word > ANSWER -> word = 2 } /* pool/operate.go post: an answer is one that nobody fetches */
	:: atomic { word == 1 -> skip }
#ifndef NO_RING_FOR_DEAD
		rouse();                              /* pool/operate.go post: for somebody who may have been killed before */
#endif
		word != 1;
		goto again
	fi;
#ifndef NO_RING
	rouse();                                      /* pool/operate.go post */
#endif
	word != 2;                                    /* pool/operate.go await */
	d_step { answered = true; if :: word == 2 + ANSWER -> word = 0 :: else fi }
}

/* pool/bell.go ring: a worker that is stopped behind its CAS */
active proctype worker() {
	if
	:: atomic { bell == 1 -> bell = 0 }
	:: skip
	fi
}

/* pool/pool.go Pool: a goroutine of the parent's */
active proctype user() {
	lock();
	wanted = true;                                /* pool/reaper.go watch */
#ifndef NO_KICK
	if                                            /* pool/reaper.go kickReaper */
	:: dormant -> dormant = false; rouse()
	:: else
	fi;
#endif
	unlock()
}

/* environment: a signal from anywhere */
active proctype killer() {
	if
	:: killed = true
	:: skip
	fi
}

init {
	run mortal();
	answered && noticed;
	lock();                                       /* pool/reaper.go stopReaper */
	gone = true;
#ifndef NO_ROUSE_AT_END
	rouse();
#endif
	unlock()
}
