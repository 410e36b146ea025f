/* The sleeping and waking under Semaphore: semaphore/eventcount.go Eventcount, as semaphore/waitqueue.go serve uses it. */
/* variants: LOOK_BEFORE_ANNOUNCE NO_SECOND_WAKE NOTIFY_CLEARS NO_PASSING_ON NO_STEP */

/*
 * SLEEPERS processes want one permit each. One waker gives a permit and wakes one; the other may give one, too, and wake one, two, or all. The first sleeper's context
 * may end meanwhile: it leaves, and passes on a wake-up that it did not use. Or one of all may be killed between any two steps.
 *
 * Holds: nobody sleeps while there is a permit and all wakers are through. Sleeps have no limit of time, but that each death entitles
 * each sleeper to one timeout: so a death costs everybody else one Step at most. Who sleeps for ever is an invalid end state.
 */

#define SLEEPERS 2
#define WAKERS 2
#define WAKER(k) (SLEEPERS + (k))

/*
 * The word is bit 0 and a sequence that each change of bit 0 from 1 to 0, and each wake, advances. Its value is only ever compared
 * with one that the same process has seen: so it is enough to know for each process whether the word is still what it saw.
 */
bool waiting;                  /* semaphore/eventcount.go Eventcount: bit 0 */
bool same[SLEEPERS + WAKERS];  /* the word is what this process saw last */
byte permits;                  /* semaphore/layout.go body: free */
byte wakers = WAKERS;          /* those that are not through */
bool asleep[SLEEPERS];         /* in the kernel */
bool owed[SLEEPERS];           /* a timeout, for somebody's death */
bool left, committed;          /* of sleeper 0: its waiter has gone; semaphore/waitqueue.go Waitqueue: asleep */
bool served[SLEEPERS];
bool killed[SLEEPERS + WAKERS];

#define gone(i) (i == 0 && left)

/* environment: the word has another value, which process p knows */
inline change(p, to) {
	same[0] = false; same[1] = false; same[2] = false; same[3] = false;
	same[p] = true;
	waiting = to
}

/* semaphore/waitqueue.go advanceLocked: semaphore/permits.go grab, a CAS, or a look that finds none, for who has not left */
inline try(i) { if :: !gone(i) && permits > 0 -> permits--; served[i] = true :: else fi }

/* semaphore/eventcount.go Announce: sees or sets bit 0 */
inline announce(p) {
	do
	:: atomic { waiting -> same[p] = true }; break
	:: atomic { else -> same[p] = true }
		if
		:: atomic { same[p] -> change(p, true) }; break
		:: else
		fi
	od
}

/* semaphore/eventcount.go advance: steps the sequence unless bit 0 is clear */
inline advance(p, to) {
	do
	:: atomic { !waiting -> ok = false }; break
	:: atomic { else -> same[p] = true }
		if
		:: atomic { same[p] -> change(p, to); ok = true }; break
		:: else
		fi
	od
}

/* environment: FUTEX_WAKE of up to n; which of the sleepers is the kernel's choice */
inline futexWake(n) {
	atomic {
		woken = 0;
		do
		:: woken < n && asleep[0] -> asleep[0] = false; woken++
		:: woken < n && asleep[1] -> asleep[1] = false; woken++
		:: woken == n || !(asleep[0] || asleep[1]) -> break
		od
	}
}

/* semaphore/eventcount.go Notify: up to n of those who sleep */
inline notify(p, n) {
	if
	:: waiting ->                                 /* semaphore/eventcount.go Notify: the load */
#ifdef NOTIFY_CLEARS
		advance(p, false);
#else
		advance(p, true);                     /* semaphore/eventcount.go notify: bit 0 stays */
#endif
		if
		:: ok ->
			futexWake(n);                 /* semaphore/eventcount.go notify */
			if
			:: atomic { woken < n && same[p] -> change(p, false) } /* semaphore/eventcount.go clear: the CAS */
#ifndef NO_SECOND_WAKE
				futexWake(SLEEPERS)   /* semaphore/eventcount.go clear: the second wake */
#endif
			:: else
			fi
		:: else
		fi
	:: else
	fi
}

/* semaphore/eventcount.go NotifyAll */
inline notifyAll(p) {
	if
	:: waiting ->
		advance(p, false);                    /* semaphore/eventcount.go NotifyAll: bit 0 goes with the step */
		if :: ok -> futexWake(SLEEPERS) :: else fi
	:: else
	fi
}

/* environment: a death entitles each sleeper to one timeout */
inline die() { owed[0] = true; owed[1] = true }

/* semaphore/waitqueue.go serve, for one waiter. A critical section of the queue's lock has one access to shared memory at most, so it
   is one step here. */
proctype sleeper(byte i) {
	byte woken;
	bool ok, unused;
	{
		do
		:: atomic {
				try(i);               /* semaphore/waitqueue.go advance: serves its waiter, if it can */
				if :: served[i] || gone(i) -> goto over :: else fi
			}
			announce(i);                  /* semaphore/waitqueue.go serve */
			atomic {                      /* semaphore/waitqueue.go commit: looks once more */
#ifndef LOOK_BEFORE_ANNOUNCE
				try(i);
#endif
				if :: served[i] || gone(i) -> goto over :: else fi;
				if :: i == 0 -> committed = true :: else fi
			}
			atomic { asleep[i] = same[i]; same[i] = false } /* semaphore/eventcount.go sleepAs: FUTEX_WAIT looks and sleeps in one */
			if
			:: atomic { !asleep[i] -> unused = true }
#ifndef NO_STEP
			:: atomic { asleep[i] && owed[i] -> asleep[i] = false; owed[i] = false } /* semaphore/eventcount.go Step */
#endif
			:: asleep[i] && wakers == 0 && permits == 0 -> goto over /* nothing is to come: it may sleep for ever */
			fi;
			atomic {                      /* semaphore/waitqueue.go awake */
				unused = unused && i == 0 && !committed;
				if :: i == 0 -> committed = false :: else fi;
				try(i)
			}
			if
#ifndef NO_PASSING_ON
			:: atomic { unused -> unused = false }
				notify(i, 1)          /* semaphore/waitqueue.go serve: passes on what it has not used */
#endif
			:: atomic { else -> unused = false }
			fi
		od;
over:		skip
	} unless {
		d_step { killed[i] -> asleep[i] = false; same[i] = false; die() }
	}
}

/* semaphore/semaphore.go Release */
proctype waker(byte k) {
	byte woken;
	bool ok;
	{
		if
		:: permits++                          /* semaphore/semaphore.go Release: the change */
			if
			:: skip; notify(WAKER(k), 1)  /* semaphore/semaphore.go Release: of one permit */
			:: k > 0 -> notify(WAKER(k), 2) /* semaphore/semaphore.go Release: of several, some of which are gone already */
			:: k > 0 -> notifyAll(WAKER(k)) /* semaphore/semaphore.go Release: for those who want many */
			fi
		:: k > 0                              /* this one has nothing to give */
		fi
	} unless {
		d_step { killed[WAKER(k)] -> die() }
	}
	wakers--
}

/* environment: what may happen, at any time: a signal kills somebody, or the context of sleeper 0's waiter ends */
active proctype fate() {
	bool kick;
	if
	:: killed[0] = true
	:: killed[1] = true
	:: killed[WAKER(0)] = true
	:: killed[WAKER(1)] = true
	:: d_step {                                           /* semaphore/waitqueue.go leave: under the lock */
			if :: served[0] :: else -> left = true; kick = committed; committed = false fi
		}
		if
		:: kick ->
			d_step { change(0, waiting); same[0] = false } /* semaphore/eventcount.go kick: an addition leaves bit 0 alone */
			asleep[0] = false                     /* semaphore/eventcount.go kick: wakes those that go by its bits */
		:: else
		fi
	:: skip
	fi
}

init {
	atomic {
		run sleeper(0); run sleeper(1);
		run waker(0); run waker(1)
	}
}
