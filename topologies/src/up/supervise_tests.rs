//! The rules of supervision as stories: what happens, and what follows from it.

use super::{ending::SIGTERM, *};
use crate::runs::wire;

const WORKER: Post = Post::Worker { stage: 0, number: 1 };
const OTHER: Post = Post::Worker { stage: 0, number: 2 };
const KILLED: Ending = Ending::Signal(9);
const WELL: Ending = Ending::Code(0);

/// A run with one stage of two workers.
struct Script {
    supervisor: Supervisor,
    now: Time,
}

impl Script {
    fn new(survival: Survival) -> Self {
        let posts = Posts::new([("square".to_owned(), 2)]);
        let (supervisor, first) = Supervisor::new(Time::default(), &posts, survival);
        let started = [Post::Sink, Post::Ventilator, WORKER, OTHER].map(Effect::Start);
        assert_eq!(first, started);
        Self { supervisor, now: Time::default() }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = Time::from_ms(ms);
        self
    }

    fn event(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.supervisor.handle(self.now, event, &mut out);
        out
    }

    fn ended(&mut self, post: Post, ending: Ending) -> Vec<Effect> {
        self.event(Event::Ended(post, ending))
    }

    fn progress(&mut self, committed: u64, total: Option<u64>) {
        assert_eq!(self.event(Event::Progress { committed, total }), []);
    }

    /// Lets time pass to the next deadline.
    fn tick(&mut self) -> Vec<Effect> {
        self.now = self.supervisor.deadline().expect("something is awaited");
        self.event(Event::Tick)
    }
}

fn returns(post: Post, ending: Ending, ms: u64) -> Effect {
    Effect::Say(Notice::Returns(post, ending, Duration::from_millis(ms)))
}

fn kills(posts: &[Post]) -> Vec<Effect> {
    posts.iter().map(|post| Effect::Kill(*post)).collect()
}

#[test]
fn a_run_ends_well_when_the_sink_says_so_and_all_have_left() {
    let mut run = Script::new(Survival::None);
    run.progress(1000, Some(1000));
    assert_eq!(run.ended(WORKER, WELL), []);
    assert_eq!(run.ended(OTHER, WELL), []);
    assert_eq!(run.ended(Post::Ventilator, WELL), []);
    assert_eq!(run.ended(Post::Sink, WELL), [Effect::Finish(exit::COMPLETE)]);
}

#[test]
fn dead_letters_are_told_by_the_exit_code() {
    let mut run = Script::new(Survival::None);
    run.ended(Post::Ventilator, WELL);
    run.ended(WORKER, WELL);
    run.ended(OTHER, WELL);
    assert_eq!(run.ended(Post::Sink, Ending::Code(1)), [Effect::Finish(exit::DEAD)]);
}

#[test]
fn a_worker_that_is_left_over_is_asked_to_go_and_then_made_to() {
    let mut run = Script::new(Survival::None);
    run.ended(Post::Ventilator, WELL);
    run.ended(OTHER, WELL);
    assert_eq!(run.ended(Post::Sink, WELL), [Effect::Drain(WORKER)]);
    assert_eq!(run.tick(), [Effect::Kill(WORKER)]);
    assert_eq!(run.ended(WORKER, KILLED), [Effect::Finish(exit::COMPLETE)]);
}

/// A stopped worker held the end of its run up twice: until the ventilator had given it up, and
/// then once more.
#[test]
fn the_time_for_leaving_begins_when_everything_is_recorded() {
    for (recorded, ended, killed) in [(100, 110, 1_100), (100, 1_150, 1_250)] {
        let mut run = Script::new(Survival::None);
        run.at(recorded).progress(9, Some(9));
        run.ended(OTHER, WELL);
        assert_eq!(run.at(ended).ended(Post::Ventilator, WELL), [Effect::Drain(WORKER)]);
        run.ended(Post::Sink, WELL);
        assert_eq!(run.tick(), [Effect::Kill(WORKER)]);
        assert_eq!(run.now, Time::from_ms(killed));
    }
}

/// Workers that start after the run is over warn that no ventilator can be reached.
#[test]
fn a_worker_that_came_too_late_to_meet_the_ventilator_is_asked_to_go_at_once() {
    let mut run = Script::new(Survival::None);
    run.ended(OTHER, WELL);
    assert_eq!(run.ended(Post::Ventilator, WELL), [Effect::Drain(WORKER)]);
    assert_eq!(run.ended(WORKER, WELL), []);
    assert_eq!(run.ended(Post::Sink, WELL), [Effect::Finish(exit::COMPLETE)]);
}

/// To start a thousand workers takes longer than many a run.
#[test]
fn a_crowd_is_started_a_few_at_a_time_and_no_more_once_the_run_is_over() {
    let posts = Posts::new([("square".to_owned(), 1_000)]);
    for over in [false, true] {
        let (supervisor, first) = Supervisor::new(Time::default(), &posts, Survival::None);
        let mut run = Script { supervisor, now: Time::default() };
        let mut started = first.len();
        assert_eq!(started, STARTS_MAX);
        if over {
            run.progress(1_000, Some(1_000));
            run.ended(Post::Ventilator, WELL);
        }
        while run.supervisor.deadline() == Some(Time::default()) {
            let effects = run.tick();
            assert!(effects.len() <= STARTS_MAX);
            started += effects.len();
        }
        assert_eq!(started, if over { STARTS_MAX } else { 1_002 });
    }
}

#[test]
fn a_worker_that_dies_is_started_again_after_a_rest_that_doubles() {
    let mut run = Script::new(Survival::None);
    for ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        assert_eq!(run.ended(WORKER, KILLED), [returns(WORKER, KILLED, ms)]);
        assert_eq!(run.tick(), [Effect::Start(WORKER)]);
    }
}

#[test]
fn a_worker_that_lived_for_a_while_comes_back_at_once() {
    let mut run = Script::new(Survival::None);
    run.ended(WORKER, KILLED);
    run.tick();
    run.ended(WORKER, KILLED);
    run.tick();
    assert_eq!(run.at(20_000).ended(WORKER, KILLED), [returns(WORKER, KILLED, 100)]);
}

#[test]
fn a_worker_that_left_by_itself_is_replaced_without_a_word() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.ended(WORKER, WELL), []);
    assert_eq!(run.tick(), [Effect::Start(WORKER)]);
    assert_eq!(run.now, Time::from_ms(1_000));
}

#[test]
fn workers_that_left_at_the_end_are_not_replaced() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.ended(WORKER, WELL), []);
    assert_eq!(run.ended(OTHER, WELL), []);
    assert_eq!(run.at(900).ended(Post::Ventilator, WELL), []);
    assert_eq!(run.tick(), []);
    assert_eq!(run.ended(Post::Sink, WELL), [Effect::Finish(exit::COMPLETE)]);
}

#[test]
fn a_function_that_cannot_work_ends_the_run_after_five_tries() {
    let unfit = Ending::Code(exit::UNFIT);
    let mut run = Script::new(Survival::None);
    for ms in [100, 200, 400, 800] {
        assert_eq!(run.ended(WORKER, unfit), [returns(WORKER, unfit, ms)]);
        assert_eq!(run.tick(), [Effect::Start(WORKER)]);
    }
    let mut expected = vec![Effect::Say(Notice::Hopeless(WORKER, unfit))];
    expected.extend(kills(&[Post::Sink, Post::Ventilator, OTHER]));
    assert_eq!(run.ended(WORKER, unfit), expected);
    assert_eq!(run.ended(Post::Sink, KILLED), []);
    assert_eq!(run.ended(Post::Ventilator, KILLED), []);
    assert_eq!(run.ended(OTHER, KILLED), [Effect::Finish(exit::UNFIT)]);
}

/// The system's limits are no fault of the function.
#[test]
fn workers_for_which_the_system_has_no_room_end_the_run_with_a_code_of_its_own() {
    for refused in [Ending::Refused, Ending::Code(exit::SYSTEM)] {
        let mut run = Script::new(Survival::None);
        for _ in 1..UNFIT_MAX {
            run.ended(WORKER, refused);
            run.tick();
        }
        assert_eq!(run.ended(WORKER, refused)[0], Effect::Say(Notice::Hopeless(WORKER, refused)));
        for post in [Post::Sink, Post::Ventilator] {
            run.ended(post, KILLED);
        }
        assert_eq!(run.ended(OTHER, KILLED), [Effect::Finish(exit::SYSTEM)]);
    }
}

#[test]
fn a_whole_stage_that_fails_at_once_is_tried_again_before_the_run_is_given_up() {
    let posts = Posts::new([("square".to_owned(), 8)]);
    let (supervisor, _) = Supervisor::new(Time::default(), &posts, Survival::None);
    let mut run = Script { supervisor, now: Time::default() };
    assert_eq!(run.tick().len(), 2);
    for number in 1..=8 {
        let post = Post::Worker { stage: 0, number };
        assert_eq!(run.ended(post, Ending::NotStarted), [returns(post, Ending::NotStarted, 100)]);
    }
    assert_eq!(run.tick().len(), 8);
    let said = run.ended(WORKER, Ending::NotStarted);
    assert_eq!(said[0], Effect::Say(Notice::Hopeless(WORKER, Ending::NotStarted)));
}

#[test]
fn deaths_between_which_the_run_gets_further_never_end_it() {
    let mut run = Script::new(Survival::None);
    for committed in 1..1_000 {
        assert_eq!(run.ended(WORKER, KILLED).len(), 1);
        run.progress(committed, None);
        assert_eq!(run.tick(), [Effect::Start(WORKER)]);
    }
}

#[test]
fn a_worker_that_only_ever_dies_ends_the_run_at_last() {
    let mut run = Script::new(Survival::None);
    let mut deaths = 0;
    let last = loop {
        deaths += 1;
        let said = run.ended(WORKER, KILLED);
        if said.len() > 1 {
            break said;
        }
        run.tick();
    };
    assert_eq!(deaths, ENDS_MAX);
    assert_eq!(last[0], Effect::Say(Notice::Hopeless(WORKER, KILLED)));
}

#[test]
fn without_a_durable_run_the_loss_of_the_sink_ends_it() {
    let mut run = Script::new(Survival::None);
    let mut expected = vec![Effect::Say(Notice::Fatal(Post::Sink, KILLED))];
    expected.extend(kills(&[Post::Ventilator, WORKER, OTHER]));
    assert_eq!(run.ended(Post::Sink, KILLED), expected);
    run.ended(WORKER, KILLED);
    run.ended(OTHER, KILLED);
    assert_eq!(run.ended(Post::Ventilator, KILLED), [Effect::Finish(exit::LOST)]);
}

#[test]
fn an_output_that_cannot_be_written_ends_the_run_even_if_it_is_durable() {
    let mut run = Script::new(Survival::Durable);
    let full = Ending::Code(exit::INPUT_OUTPUT);
    let effects = run.ended(Post::Sink, full);
    assert_eq!(effects[0], Effect::Say(Notice::Fatal(Post::Sink, full)));
    for post in [WORKER, OTHER] {
        run.ended(post, KILLED);
    }
    assert_eq!(run.ended(Post::Ventilator, KILLED), [Effect::Finish(exit::INPUT_OUTPUT)]);
}

#[test]
fn a_durable_run_survives_its_sink_and_its_ventilator() {
    let mut run = Script::new(Survival::Durable);
    assert_eq!(run.ended(Post::Sink, KILLED), [returns(Post::Sink, KILLED, 100)]);
    assert_eq!(run.tick(), [Effect::Start(Post::Sink)]);
    assert_eq!(run.ended(Post::Ventilator, KILLED), [returns(Post::Ventilator, KILLED, 100)]);
    assert_eq!(run.tick(), [Effect::Start(Post::Ventilator)]);
}

#[test]
fn a_sink_that_is_lost_after_the_ventilator_left_brings_it_back() {
    let mut run = Script::new(Survival::Durable);
    run.ended(Post::Ventilator, WELL);
    assert_eq!(run.ended(Post::Sink, KILLED), [returns(Post::Sink, KILLED, 100)]);
    assert_eq!(run.tick(), [Effect::Start(Post::Sink), Effect::Start(Post::Ventilator)]);
}

#[test]
fn a_durable_run_gives_up_a_sink_that_keeps_dying() {
    let mut run = Script::new(Survival::Durable);
    for _ in 0..RETURNS_MAX {
        assert_eq!(run.ended(Post::Sink, KILLED).len(), 1);
        run.tick();
    }
    assert_eq!(run.ended(Post::Sink, KILLED)[0], Effect::Say(Notice::Fatal(Post::Sink, KILLED)));
}

#[test]
fn a_sink_and_a_ventilator_that_get_further_may_die_as_often_as_they_like() {
    let mut run = Script::new(Survival::Durable);
    for round in 1..=3 * u64::from(RETURNS_MAX) {
        for post in [Post::Sink, Post::Ventilator] {
            assert_eq!(run.ended(post, KILLED), [returns(post, KILLED, 100)]);
            assert_eq!(run.tick(), [Effect::Start(post)]);
        }
        // The new sink has not read its log yet; that is neither progress nor a step back.
        run.progress(0, Some(1000));
        run.progress(round, Some(1000));
    }
}

#[test]
fn what_was_committed_before_is_no_progress() {
    let mut run = Script::new(Survival::Durable);
    run.progress(500, Some(1000));
    for _ in 0..RETURNS_MAX {
        assert_eq!(run.ended(Post::Sink, KILLED).len(), 1);
        run.tick();
        run.progress(0, Some(1000));
        run.progress(500, Some(1000));
    }
    assert_eq!(run.ended(Post::Sink, KILLED)[0], Effect::Say(Notice::Fatal(Post::Sink, KILLED)));
}

#[test]
fn the_first_interrupt_drains_the_run_through_its_ventilator() {
    let mut run = Script::new(Survival::None);
    let drains = [Effect::Say(Notice::Draining), Effect::Drain(Post::Ventilator)];
    assert_eq!(run.event(Event::Interrupt), drains);
    run.progress(500, Some(500));
    run.ended(WORKER, WELL);
    run.ended(OTHER, WELL);
    assert_eq!(
        run.ended(Post::Ventilator, Ending::Code(exit::DRAINED)),
        [Effect::Drain(Post::Sink)]
    );
    let drained = run.ended(Post::Sink, Ending::Code(exit::DRAINED));
    assert_eq!(drained, [Effect::Finish(exit::DRAINED)]);
}

#[test]
fn workers_that_end_while_the_run_drains_do_not_come_back() {
    for ending in [WELL, KILLED, Ending::Code(69)] {
        let mut run = Script::new(Survival::None);
        run.event(Event::Interrupt);
        assert_eq!(run.ended(WORKER, ending), []);
        assert_eq!(run.supervisor.deadline(), None, "nobody is started again");
    }
    let mut run = Script::new(Survival::None);
    assert_eq!(run.ended(WORKER, KILLED), [returns(WORKER, KILLED, 100)]);
    run.event(Event::Interrupt);
    assert_eq!(run.tick(), [], "one that was resting does not either");
}

#[test]
fn a_process_that_is_drained_before_it_can_hear_has_drained() {
    let mut run = Script::new(Survival::None);
    run.event(Event::Interrupt);
    let term = Ending::Signal(SIGTERM);
    assert_eq!(run.ended(Post::Ventilator, term), [Effect::Drain(Post::Sink)]);
    assert_eq!(run.ended(Post::Sink, term), [Effect::Drain(WORKER), Effect::Drain(OTHER)]);
    assert_eq!(run.ended(WORKER, term), []);
    assert_eq!(run.ended(OTHER, term), [Effect::Finish(exit::DRAINED)]);
}

#[test]
fn a_ventilator_that_was_resting_drains_as_soon_as_it_is_back() {
    let mut run = Script::new(Survival::Durable);
    run.ended(Post::Ventilator, KILLED);
    assert_eq!(run.event(Event::Interrupt), [Effect::Say(Notice::Draining)]);
    let back = [Effect::Start(Post::Ventilator), Effect::Drain(Post::Ventilator)];
    assert_eq!(run.tick(), back);
}

/// The simulation has found it: such a sink waited for good.
#[test]
fn a_sink_that_comes_back_when_its_ventilator_has_left_drains_at_once() {
    let mut run = Script::new(Survival::Durable);
    run.event(Event::Interrupt);
    assert_eq!(run.ended(Post::Sink, KILLED), [returns(Post::Sink, KILLED, 100)]);
    assert_eq!(run.ended(Post::Ventilator, Ending::Code(exit::DRAINED)), []);
    assert_eq!(run.tick(), [Effect::Start(Post::Sink), Effect::Drain(Post::Sink)]);
}

#[test]
fn the_second_interrupt_ends_everything_at_once() {
    let mut run = Script::new(Survival::None);
    run.event(Event::Interrupt);
    let mut expected = vec![Effect::Say(Notice::Stopping)];
    expected.extend(kills(&[Post::Sink, Post::Ventilator, WORKER, OTHER]));
    assert_eq!(run.event(Event::Interrupt), expected);
    assert_eq!(run.event(Event::Interrupt), []);
    for post in [Post::Ventilator, WORKER, OTHER] {
        assert_eq!(run.ended(post, KILLED), []);
    }
    assert_eq!(run.ended(Post::Sink, KILLED), [Effect::Finish(exit::INTERRUPTED)]);
}

#[test]
fn a_source_that_fails_is_the_verdict_whatever_the_sink_recorded() {
    let mut run = Script::new(Survival::None);
    let failed = Ending::Code(exit::INPUT_OUTPUT);
    assert_eq!(run.ended(Post::Ventilator, failed), [Effect::Drain(Post::Sink)]);
    run.ended(WORKER, WELL);
    run.ended(OTHER, WELL);
    let drained = run.ended(Post::Sink, Ending::Code(exit::DRAINED));
    assert_eq!(drained, [Effect::Finish(exit::INPUT_OUTPUT)]);
}

/// A source that can't be read from the first moment: 70 instead of 74 in some runs.
#[test]
fn a_source_that_fails_is_the_verdict_also_if_the_sink_could_not_hear_that_it_should_drain() {
    for survival in [Survival::None, Survival::Durable] {
        let mut run = Script::new(survival);
        let failed = Ending::Code(exit::INPUT_OUTPUT);
        assert_eq!(run.ended(Post::Ventilator, failed), [Effect::Drain(Post::Sink)]);
        run.ended(WORKER, WELL);
        run.ended(OTHER, WELL);
        let ended = run.ended(Post::Sink, Ending::Signal(SIGTERM));
        assert_eq!(ended, [Effect::Finish(exit::INPUT_OUTPUT)]);
    }
}

/// The first cause decides the exit code, whatever follows from it.
#[test]
fn a_sink_that_fails_after_the_source_did_does_not_change_the_verdict() {
    for later in [Ending::Code(1_000), KILLED, Ending::Code(exit::TOPOLOGY)] {
        let mut run = Script::new(Survival::None);
        run.ended(Post::Ventilator, Ending::Code(exit::INPUT_OUTPUT));
        run.ended(Post::Sink, later);
        run.ended(WORKER, KILLED);
        assert_eq!(run.ended(OTHER, KILLED), [Effect::Finish(exit::INPUT_OUTPUT)]);
    }
}

/// The causes that a user can do something about keep their codes.
#[test]
fn what_a_role_says_of_its_end_is_the_verdict_where_users_can_act_on_it() {
    let codes = [(exit::TOPOLOGY, exit::TOPOLOGY), (exit::SYSTEM, exit::SYSTEM), (99, exit::LOST)];
    for (code, verdict) in codes {
        let mut run = Script::new(Survival::Durable);
        run.ended(Post::Sink, Ending::Code(code));
        for post in [Post::Ventilator, WORKER] {
            run.ended(post, KILLED);
        }
        assert_eq!(run.ended(OTHER, KILLED), [Effect::Finish(verdict)]);
    }
}

/// A signal to any of the processes at once is as one to the launcher alone.
#[test]
fn a_sink_or_a_ventilator_that_someone_else_ended_before_it_could_hear_has_drained() {
    for signal in ASKED {
        for survival in [Survival::None, Survival::Durable] {
            let mut run = Script::new(survival);
            let asked = Ending::Signal(signal);
            assert_eq!(run.ended(Post::Ventilator, asked), [Effect::Drain(Post::Sink)]);
            let drains = [Effect::Drain(WORKER), Effect::Drain(OTHER)];
            assert_eq!(run.ended(Post::Sink, asked), drains);
            run.ended(WORKER, WELL);
            assert_eq!(run.ended(OTHER, WELL), [Effect::Finish(exit::DRAINED)]);
        }
    }
}

impl Script {
    fn wish(&mut self, wish: Wish) -> (Result<Granted, Unwilling>, Vec<Effect>) {
        let mut out = Vec::new();
        let granted = self.supervisor.wish(self.now, wish, &mut out);
        (granted, out)
    }

    fn scale(&mut self, workers: u32) -> Vec<Effect> {
        let (granted, effects) = self.wish(Wish::Scale { stage: 0, workers });
        assert!(granted.is_ok());
        effects
    }
}

const THIRD: Post = Post::Worker { stage: 0, number: 3 };

#[test]
fn more_workers_are_started_at_once_and_of_fewer_the_youngest_leave_for_good() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.scale(3), [Effect::Start(THIRD)]);
    assert_eq!(run.scale(3), []);
    assert_eq!(run.scale(1), [Effect::Drain(OTHER), Effect::Drain(THIRD)]);
    assert_eq!(run.ended(OTHER, WELL), []);
    assert_eq!(run.ended(THIRD, KILLED), [], "one that crashes on its way is not started again");
    assert_eq!(run.supervisor.deadline(), None);
    assert_eq!(run.ended(WORKER, KILLED), [returns(WORKER, KILLED, 100)]);
    assert_eq!(run.tick(), [Effect::Start(WORKER)]);
}

#[test]
fn a_worker_that_rests_after_a_crash_is_not_started_when_fewer_are_wanted() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.ended(OTHER, KILLED), [returns(OTHER, KILLED, 100)]);
    assert_eq!(run.scale(1), []);
    assert_eq!(run.supervisor.deadline(), None);
}

#[test]
fn a_worker_that_was_asked_to_leave_and_is_wanted_again_comes_back_once_it_has_left() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.scale(1), [Effect::Drain(OTHER)]);
    assert_eq!(run.scale(2), []);
    assert_eq!(run.ended(OTHER, WELL), [Effect::Start(OTHER)]);
    assert_eq!(run.scale(1), [Effect::Drain(OTHER)]);
    assert_eq!(run.ended(OTHER, WELL), []);
    assert_eq!(run.scale(2), [Effect::Start(OTHER)]);
}

#[test]
fn a_stage_may_have_no_worker_here_for_a_while() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.scale(0), [Effect::Drain(WORKER), Effect::Drain(OTHER)]);
    run.ended(WORKER, WELL);
    run.ended(OTHER, WELL);
    assert_eq!(run.wish(Wish::Restart { stage: 0 }), (Err(Unwilling::Nobody), vec![]));
    assert_eq!(run.scale(1), [Effect::Start(WORKER)]);
}

#[test]
fn a_run_that_is_about_to_end_is_steered_no_more() {
    let wishes = [
        Wish::Pause,
        Wish::Resume,
        Wish::Scale { stage: 0, workers: 9 },
        Wish::Restart { stage: 0 },
    ];
    let mut drained = Script::new(Survival::None);
    drained.event(Event::Interrupt);
    let mut complete = Script::new(Survival::None);
    complete.progress(9, Some(9));
    for run in [&mut drained, &mut complete] {
        for wish in wishes {
            assert_eq!(run.wish(wish), (Err(Unwilling::Ending), vec![]));
        }
    }
}

#[test]
fn an_end_that_is_asked_for_twice_is_no_second_interrupt() {
    let mut run = Script::new(Survival::None);
    let drains = vec![Effect::Say(Notice::Draining), Effect::Drain(Post::Ventilator)];
    assert_eq!(run.wish(Wish::Drain), (Ok(Granted::Ends), drains));
    assert_eq!(run.wish(Wish::Drain), (Ok(Granted::Ends), vec![]));
    let mut stops = vec![Effect::Say(Notice::Stopping)];
    stops.extend(kills(&[Post::Sink, Post::Ventilator, WORKER, OTHER]));
    assert_eq!(run.wish(Wish::Stop), (Ok(Granted::Ends), stops));
}

#[test]
fn a_pause_is_passed_on_and_told_until_the_run_goes_on() {
    let mut run = Script::new(Survival::None);
    assert_eq!(run.wish(Wish::Pause).1, [Effect::Hold(Hold::On)]);
    assert_eq!(run.supervisor.state(), wire::State::Paused);
    assert_eq!(run.wish(Wish::Resume).1, [Effect::Hold(Hold::Off)]);
    assert_eq!(run.supervisor.state(), wire::State::Running);
}

#[test]
fn workers_are_started_anew_one_after_the_other_each_when_the_one_before_has_joined() {
    let mut run = Script::new(Survival::None);
    run.event(Event::Workers(2));
    let (granted, first) = run.wish(Wish::Restart { stage: 0 });
    assert_eq!(granted, Ok(Granted::Restarts(2)));
    assert_eq!(first, [Effect::Say(Notice::Anew(WORKER, 1)), Effect::Drain(WORKER)]);
    assert_eq!(run.wish(Wish::Restart { stage: 0 }).0, Err(Unwilling::Busy));
    assert_eq!(run.event(Event::Workers(2)), []);
    assert_eq!(run.ended(WORKER, WELL), [Effect::Start(WORKER)]);
    // An old count, then those without it.
    for workers in [2, 1, 1] {
        assert_eq!(run.event(Event::Workers(workers)), []);
    }
    let next = [Effect::Say(Notice::Anew(OTHER, 0)), Effect::Drain(OTHER)];
    assert_eq!(run.event(Event::Workers(2)), next);
    assert_eq!(run.ended(OTHER, WELL), [Effect::Start(OTHER)]);
    assert_eq!(run.event(Event::Workers(1)), []);
    assert_eq!(run.event(Event::Workers(2)), [Effect::Say(Notice::AllAnew)]);
    assert!(run.wish(Wish::Restart { stage: 0 }).0.is_ok());
}

/// New code that crashes would take the whole stage down, one after the other.
#[test]
fn a_worker_that_does_not_come_back_keeps_the_others_at_work() {
    let mut run = Script::new(Survival::None);
    run.event(Event::Workers(2));
    assert!(run.wish(Wish::Restart { stage: 0 }).0.is_ok());
    run.ended(WORKER, WELL);
    for pause in [100, 200, 400] {
        assert_eq!(run.ended(WORKER, KILLED), [returns(WORKER, KILLED, pause)]);
        assert_eq!(run.event(Event::Workers(1)), []);
        assert_eq!(run.tick(), [Effect::Start(WORKER)]);
    }
}

/// A stage that fails with every unit is told once, and what is begun is finished.
#[test]
fn a_hopeless_run_is_drained_and_its_code_is_that_of_dead_letters() {
    let mut run = Script::new(Survival::Durable);
    run.progress(20, Some(1_000));
    let halted = run.event(Event::Hopeless(When::Soon));
    assert_eq!(halted, [Effect::Say(Notice::Halted), Effect::Drain(Post::Ventilator)]);
    assert_eq!(run.event(Event::Hopeless(When::Soon)), []);
    run.ended(WORKER, WELL);
    run.ended(OTHER, WELL);
    run.ended(Post::Ventilator, Ending::Code(exit::DRAINED));
    let ended = run.ended(Post::Sink, Ending::Code(exit::DRAINED));
    assert_eq!(ended.last(), Some(&Effect::Finish(exit::DEAD)), "{ended:?}");
}

#[test]
fn a_hopeless_run_ends_at_once_where_that_is_wanted() {
    let mut run = Script::new(Survival::Durable);
    let halted = run.event(Event::Hopeless(When::Now));
    let all = [Post::Sink, Post::Ventilator, WORKER, OTHER];
    assert_eq!(halted, [vec![Effect::Say(Notice::Halted)], kills(&all)].concat());
}

/// Fewer units than would be too many: there is nothing to stop.
#[test]
fn a_run_that_is_about_to_end_is_not_hopeless() {
    let mut run = Script::new(Survival::Durable);
    run.progress(20, Some(20));
    assert_eq!(run.event(Event::Hopeless(When::Soon)), []);
}
