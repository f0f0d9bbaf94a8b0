/* The gate as a model for Spin: who may look at media, when, and how it ends.

   One consent and its session, with everybody who can interfere, in every order: the desk,
   the thread that reads the device, inference that opens what waits in a queue, the thread
   that watches a blocked device, another program that writes to the same log, a log that
   fails, a monotonic clock that ticks between any two steps, a wall clock that is set back.

   Names follow consent/gate.py, consent/ledger.py and capture/service_session.py. The states,
   and the steps in write(), are those of consent/state.py: tests/consent/test_gate_model.py
   compares them and runs this file. Each BROKEN_... leaves one guard of the code out; the
   test expects Spin to find what goes wrong then.

   What holds, in all orders of all steps:
   - A unit reaches inference only while the log says `given`, for a purpose that was given and
     within the consent's hard limit. Where another program ended the consent, the log is
     believed for HALF a lease more, and not one tick longer.
   - The device is never open before the grant, and at most one unit is decoded after a lease
     has ended; inference never gets it.
   - Nobody waits for ever for anybody else, and in the end the device is closed for good:
     also when it gives nothing, the log never answers again and nobody presses anything. */

#define HALF 1                      /* ticks for which an answer of the log is believed */
#define LIMIT 2                     /* ticks for which a consent holds */

#define IMAGE 1                     /* the purpose that the citizen gives; the other is refused */
#define VOICE 2

mtype = { offered, given, refused, deferred, withdrawn, expired, completed, revoked, invalidated };
mtype = { nobody, lost };           /* beside the states: who ended a lease */

mtype state = offered;              /* what the log says */
bool up = true;                     /* the log can be read and written */
bool halted;                        /* ConsentStore._halted: a step is about to be written */
bool decided;
byte now;                           /* the monotonic clock, from the decision on */
bool set_back;                      /* the wall clock was set back by one tick */
bool written;                       /* whether write() took the step; read and cleared at once */
bool gone;                          /* another program ended the consent */
byte gone_at;                       /* and when */

bool leased;                        /* the lease is in Gate._leases */
bool over;                          /* _Lease._over */
byte renew_at, until;               /* _Lease._renew_at_ns, _until_ns */
bool renewing;                      /* _Lease._renewal, the lock around a renewal */

bool granted;                       /* the first look at the log said yes */
bool open;                          /* the device */
bool interrupted;                   /* Device.interrupt was called */
bool watching, watched;             /* the block of _watched, and its thread */
bool wake;                          /* what that thread waits for */
bool reading;                       /* the session's thread runs */
byte held;                          /* purpose of the unit in a queue; 0: none */
byte late;                          /* units decoded after the lease had ended */

#ifdef BROKEN_WALL_CLOCK            /* leases on a clock that anybody can set */
#define CLOCK(at) (at - set_back)
#else
#define CLOCK(at) at
#endif

#ifdef BROKEN_ENDLESS               /* nobody looks at the hard limit */
#define PAST(at) false
#define PERMITTED (state == given && !halted)
#else
#define PAST(at) (CLOCK(at) >= until)
#define PERMITTED (state == given && !halted && now < LIMIT)    /* ConsentStore.permitted */
#endif

/* ConsentStore._append: one step of the state machine, or a refusal (within an atomic). */
inline write(to) {
    written = true;
    if
    :: state == offered && (to == given || to == refused || to == deferred) -> state = to
    :: state == given && (to == withdrawn || to == expired || to == completed || to == revoked || to == invalidated) -> state = to
    :: state == completed && (to == withdrawn) -> state = to
    :: state == expired && (to == withdrawn) -> state = to
    :: else -> written = false      /* TransitionRefused */
    fi
}

/* _Lease.end: the first end counts; whoever asked is told a moment later. */
inline end_lease() {
    if
    :: atomic { leased && !over -> over = true };
       atomic {                     /* Grant._purge, the watcher's event, ServiceSession's stop */
           held = 0;
           wake = true;
#ifndef BROKEN_NO_WATCH
           interrupted = true
#endif
       }
    :: !leased || over
    fi
}

#ifdef BROKEN_WRITE_FIRST           /* written first, stopped afterwards */
#define PRESSED skip
#define WRITTEN end_lease()
#else
#define PRESSED halted = true; end_lease()
#define WRITTEN skip
#endif

/* ConsentStore.apply: what was permitted stops before anything is written. */
inline log(to) {
    if
    :: atomic { up -> write(to); if :: written -> written = false; halted = false :: else fi }
    :: !up                          /* LedgerUnavailable: the record stays halted */
    fi
}

inline apply(to) {
    PRESSED;
    log(to);
    WRITTEN
}

#define RENEWED(at, yes) atomic { yes = !over; at = (yes -> at : 0); renewing = false }
#define LOST(at) atomic { at = 0; renewing = false }; end_lease()

/* _Lease.live: the clock, then the log when half of the lease has passed, then the flag.
   `at` is the time of the look at the clock, kept while the answer is yes. */
inline live(at, yes) {
    if
    :: over
    :: atomic { !over && !renewing && !PAST(now) && CLOCK(now) < renew_at -> at = now; yes = true }
    :: atomic { !over && !renewing && !PAST(now) && CLOCK(now) >= renew_at -> at = now; renewing = true };
#ifdef BROKEN_CACHED_LEASE          /* the first answer is believed to the end */
       atomic { renew_at = until; yes = !over; renewing = false }
#else
       if
       :: up && PERMITTED -> renew_at = CLOCK(at) + HALF; RENEWED(at, yes)
       :: up && !PERMITTED -> LOST(at)
#ifdef BROKEN_FAIL_OPEN             /* a log that cannot be read is taken for a yes */
       :: !up -> renew_at = CLOCK(at) + HALF; RENEWED(at, yes)
#else
       :: !up -> LOST(at)
#endif
       fi
#endif
    :: !over && !renewing && PAST(now) -> end_lease(); log(expired)    /* or out of contact with the centre */
    fi
}

/* What inference is handed was decided: for this purpose, and so that it still held then. */
inline judge(purpose, at) {
    assert(purpose == IMAGE);
    assert(at < LIMIT);
    assert(state == given || (gone && at < gone_at + HALF))
}

/* The citizen and the officer. One of them ends the session, or nobody does. */
active proctype desk() {
    mtype end;

#ifdef BROKEN_PREROLL               /* the device runs while the question is on the screen */
    open = true;
#endif
    if
    :: atomic { write(deferred); written = false }; goto over_and_done
    :: atomic { up -> write(refused); written = false }; goto over_and_done
    :: atomic { up -> write(given); written = false; decided = true }
    fi;
    atomic { reading = true; run reader() };
#ifndef ALONE                       /* ALONE: nobody presses anything, only time passes */
    if
    :: PRESSED;                     /* ConsentStore.apply; by whom is drawn when it is written */
end_no_log:                         /* Desk._retry, where the log cannot be written at once */
       atomic {
           up ->
           if
           :: end = withdrawn       /* the citizen */
           :: end = revoked         /* the controller: a bystander, a child */
           :: end = invalidated     /* the authority */
           fi;
           write(end);
           end = 0;
           if :: written -> written = false; halted = false :: else fi
       };
       WRITTEN
    :: interrupted = true           /* the officer: Desk.finish; the session completes it */
    fi;
#endif
end_reads:
    !reading ->
    if
    :: true
    :: true -> apply(withdrawn)    /* afterwards, by the code on the receipt */
    fi;
over_and_done:
#ifdef BROKEN_PREROLL
    open = false
#else
    skip
#endif
}

/* Gate.grant, Gate.stream and ServiceSession.run, in one thread. */
proctype reader() {
    byte at, purpose;
    bool yes, second;               /* ServiceSession._stop: a second face at the seat */

    leased = true;
    if
    :: atomic { up && PERMITTED -> until = CLOCK(now) + LIMIT - now; renew_at = CLOCK(now) + HALF }
    :: !(up && PERMITTED) -> end_lease(); goto ended
    fi;
    if
    :: over -> goto ended
    :: !over -> granted = true
    fi;
    live(at, yes);
    if
    :: !yes -> goto ended           /* NotPermitted: no device was opened */
    :: yes -> atomic { open = true; yes = false; at = 0 }
    fi;
    atomic { watching = true; watched = true; run watcher() };
    do
    :: live(at, yes);
       if
       :: !yes -> break
       :: atomic { yes -> yes = false; at = 0 }
       fi;
       if                           /* Device.read */
       :: interrupted -> break
       :: !interrupted -> interrupted; break          /* it gives nothing: the read blocks */
       :: !interrupted ->
          atomic {
              if
              :: purpose = IMAGE
              :: purpose = VOICE    /* a stray one */
              fi;
              if
              :: over -> late++; assert(late <= 1)
              :: !over
              fi;
#ifndef BROKEN_STRAY
              if
              :: purpose == VOICE -> purpose = 0; break     /* UnpermittedUnit */
              :: purpose == IMAGE
              fi
#endif
          }
       fi;
       live(at, yes);
       if
       :: atomic { !yes -> purpose = 0; break }    /* decoded while the grant ended: dropped */
       :: atomic { yes -> yes = false; at = 0 }
       fi;
       atomic {                     /* Grant._permit, under its lock */
           if
           :: over -> purpose = 0; break
           :: !over -> held = purpose; purpose = 0
           fi
       };
       if
       :: true
       :: second = true; PRESSED; break         /* ServiceSession._must_stop: ConsentStore.halt */
       fi
    od;
    atomic { watching = false; wake = true };
    !watched ->
#ifndef BROKEN_LEFT_OPEN
    open = false;
#endif
    if
    :: second -> log(revoked); WRITTEN; second = false    /* refused where the citizen was written first */
    :: !second && over              /* whoever ended it has written why, or will */
    :: !second && !over -> apply(completed)
    fi;
ended:
    assert(!open);
    reading = false
}

/* Permitted.open, for a unit that waited in a queue. */
active proctype inference() {
    byte at;
    bool yes;

end_idle:
    do
    :: held ->
#ifdef BROKEN_KEPT_UNITS            /* what is in the queue is worked off without a look */
       atomic { at = now; yes = true };
#else
       live(at, yes);
#endif
       if
       :: !yes
       :: yes ->
          atomic {                  /* Grant._reveal, under its lock */
              if
#ifdef BROKEN_LAST_LOOK             /* the flag is not looked at again under the lock */
              :: held -> judge(held, at); held = 0
              :: !held
#else
              :: held && !over -> judge(held, at); held = 0
              :: !held || over      /* NotPermitted: it was dropped */
#endif
              fi;
              yes = false; at = 0
          }
       fi
    od
}

/* _watch: looks at the lease while nobody reads, and interrupts a read that blocks. */
proctype watcher() {
    byte at;
    bool yes;

    do
    :: wake -> break
    :: !wake ->
#ifdef BROKEN_NO_WATCH
       wake
#else
       live(at, yes);
       if
       :: !yes -> break
       :: atomic { yes -> yes = false; at = 0 }
       fi
#endif
    od;
    if
    :: watching -> interrupted = true
    :: !watching
    fi;
    watched = false
}

/* What comes from outside, in any order, or not: another program ends the consent in the same
   log (a withdrawal by receipt); the log fails, for a while or for good; the light goes out, so
   that a read blocks; somebody sets the wall clock back. */
active proctype world() {
    bool failed;

end_quiet:
    do
#ifndef ALONE
    :: atomic { state == given && up -> write(withdrawn); written = false; gone = true; gone_at = now }
#endif
    :: atomic { up && !failed -> up = false; failed = true }
    :: !up -> up = true
#ifdef BROKEN_WALL_CLOCK
    :: now > 0 && !set_back -> set_back = true
#endif
    od
}

active proctype time() {
end_stands:
    do
    :: decided && now < LIMIT -> now++
    :: now == LIMIT -> break
    od
}

/* The device is never open before the grant: looked at between any two steps. */
active proctype tripwire() {
end_watches:
    atomic { open && !granted -> assert(false) }
}

/* In the end the device is closed for good (checked with weak fairness). */
ltl closed { <> [] !open }
