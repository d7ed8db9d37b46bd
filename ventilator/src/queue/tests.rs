//! What becomes of units that clients submit, as stories: what is asked, and what follows.

use proto::service::CancelState;

use super::{disk::Disk, *};

/// A queue in a folder.
struct Story {
    folder: tempfile::TempDir,
    queue: Queue<Disk>,
    now: u64,
}

const LIMITS: QueueLimits = QueueLimits {
    units_max: 1_000,
    bytes_max: 1 << 20,
    safety: Safety::Power,
    retain: Duration::from_secs(60),
};

impl Story {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: QueueLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(Disk::open(folder.path()).unwrap(), limits, 0).unwrap();
        let mut story = Self { folder, queue, now: 1_000 };
        story.ask([Ask::Begin]);
        story
    }

    /// The process was killed, and started again.
    fn restarted(self) -> Self {
        let Self { folder, queue, now } = self;
        let limits = queue.limits;
        drop(queue);
        let queue = Queue::open(Disk::open(folder.path()).unwrap(), limits, now).unwrap();
        Self { folder, queue, now }
    }

    /// The same; these units are committed.
    fn resumed(self, ranges: &[(u64, u64)]) -> (Self, News) {
        let mut story = self.restarted();
        let news = story.ask([committed(ranges), Ask::Begin]);
        (story, news)
    }

    fn ask(&mut self, asked: impl IntoIterator<Item = Ask>) -> News {
        self.queue.serve(self.now, asked.into_iter().collect()).unwrap()
    }

    /// What is given out, all of it, as ids and values.
    fn given(&mut self) -> Vec<(UnitId, u64)> {
        let mut given = Vec::new();
        while let Some(units) = self.ask([Ask::Read(100)]).units {
            let each =
                units.iter().map(|(id, _, value)| (id, proto::value::read_uint(value).unwrap()));
            given.extend(each);
        }
        given
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

/// Units with their own numbers as values.
fn submit(client: &str, numbers: Range<u64>, terms: Terms) -> Ask {
    let (mut payload, mut ends) = (Vec::new(), Vec::new());
    for number in numbers.clone() {
        proto::value::push_uint(&mut payload, number);
        ends.push(payload.len() as u32);
    }
    let units = Units::from_source(numbers.start, payload, ends);
    let submit = Box::new(Submit { known: 0, terms, units });
    Ask::Submit { link: 1, client: client.into(), submit }
}

fn plain(client: &str, numbers: Range<u64>) -> Ask {
    submit(client, numbers, Terms::default())
}

fn tickets(news: &News) -> Vec<(u64, u64, u64)> {
    news.accepted.iter().map(|(_, t)| (t.number, t.count, t.ticket)).collect()
}

fn dead(news: &News) -> Vec<(UnitId, &str)> {
    news.dead.iter().map(|dead| (dead.root, dead.error.as_str())).collect()
}

/// To whom, of which unit, and what.
fn states(news: &News) -> Vec<(LinkId, UnitId, CancelState)> {
    news.cancelled.iter().map(|(link, told)| (*link, told.ticket, told.state)).collect()
}

const CANCEL: CancelState = CancelState::Cancelled;
const BEGUN: CancelState = CancelState::Begun;
const OVER: CancelState = CancelState::Over;

fn cancel(link: LinkId, ticket: u64) -> Ask {
    Ask::Cancel { link, tickets: vec![(ticket, ticket + 1)] }
}

/// What came back from the ventilator's stocks and the workers, and what had been begun.
fn recalled(idle: &[u64], tried: &[u64], begun: &[u64]) -> Ask {
    let units = |ids: &[u64]| {
        let mut units = Units::new();
        for id in ids {
            units.push(Span::one(*id, Vec::new()), &[*id as u8]);
        }
        units
    };
    let mut set = RangeSet::new();
    begun.iter().for_each(|id| _ = set.insert(*id..id + 1));
    Ask::Recalled(Box::new(Recalled { idle: units(idle), tried: units(tried), begun: set }))
}

fn committed(ranges: &[(u64, u64)]) -> Ask {
    Ask::Committed(Commit { above: ranges.to_vec(), ..Commit::default() })
}

#[test]
fn units_get_tickets_one_after_the_other_and_are_given_out_in_that_order() {
    let mut story = Story::new();
    let news = story.ask([plain("a", 0..3), plain("b", 0..2), plain("a", 3..4)]);
    assert_eq!(tickets(&news), [(0, 3, 0), (0, 2, 3), (3, 1, 5)]);
    assert_eq!((news.next, news.waiting), (6, (6, 6)));
    assert_eq!(story.given(), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 3)]);
    assert_eq!(story.ask([]).waiting, (0, 0));
}

/// A full queue of a crowd must not take the memory of as many runs.
#[test]
fn what_a_crowd_submits_at_once_is_one_run_unless_its_terms_differ() {
    let mut story = Story::new();
    let keyed = Terms { unique: Some("k".into()), ..Terms::default() };
    let once = Terms { once: Some("o".into()), ..Terms::default() };
    let asked = [
        plain("a", 0..2),
        plain("b", 0..1),
        plain("a", 1..3),
        submit("c", 0..1, keyed.clone()),
        submit("d", 0..1, keyed),
        plain("b", 1..2),
        submit("e", 0..1, once.clone()),
        submit("f", 0..1, once),
        plain("b", 2..3),
    ];
    let news = story.ask(asked);
    let told = [
        (0, 2, 0),
        (0, 1, 2),
        (1, 1, 1),
        (2, 1, 3),
        (0, 1, 4),
        (0, 1, 4),
        (1, 1, 5),
        (0, 1, 6),
        (0, 1, 6),
        (2, 1, 7),
    ];
    assert_eq!(tickets(&news), told);
    let runs = |story: &Story| story.queue.contents.order.within(0..100);
    assert_eq!(runs(&story), [0, 4, 5, 7], "a key is one unit's, and ends what came before");
    let (mut story, _) = story.resumed(&[(1, 3)]);
    let again = story.ask([plain("a", 0..3), plain("b", 0..3)]);
    assert_eq!(tickets(&again), [(0, 2, 0), (2, 1, 3), (0, 1, 2), (1, 1, 5), (2, 1, 7)]);
    let given: Vec<_> = story.given().into_iter().map(|(ticket, _)| ticket).collect();
    assert_eq!(given, [0, 3, 4, 5, 6, 7]);
}

#[test]
fn a_read_is_answered_once_there_is_something_and_with_no_more_than_was_asked() {
    let mut story = Story::new();
    assert_eq!(story.ask([Ask::Read(2)]).units, None);
    let units = story.ask([plain("a", 0..5)]).units.unwrap();
    assert_eq!(units.len(), 2);
    assert_eq!(story.ask([]).units, None, "it has its answer");
    assert_eq!(story.given().len(), 3);
}

#[test]
fn what_is_submitted_again_after_a_kill_has_its_ticket_and_is_there_once() {
    let mut story = Story::new();
    story.ask([plain("a", 0..3), plain("b", 7..9)]);
    let mut story = story.restarted();
    let news = story.ask([plain("a", 0..4), plain("b", 7..9)]);
    assert_eq!(tickets(&news), [], "it is not known yet which ids are free");
    let news = story.ask([Ask::Begin]);
    assert_eq!(tickets(&news), [(0, 3, 0), (3, 1, 5), (7, 2, 3)]);
    let given: Vec<_> = story.given().into_iter().map(|(id, _)| id).collect();
    assert_eq!(given, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_was_given_out_and_is_not_committed_is_given_out_again_after_a_kill() {
    let mut story = Story::new();
    story.ask([plain("a", 0..10)]);
    assert_eq!(story.given().len(), 10);
    let (mut story, _) = story.resumed(&[(0, 2), (5, 8)]);
    assert_eq!(story.given(), [(2, 2), (3, 3), (4, 4), (8, 8), (9, 9)]);
    let news = story.ask([plain("a", 10..11)]);
    assert_eq!(tickets(&news), [(10, 1, 10)], "no id is given twice");
}

#[test]
fn the_terms_decide_whose_turn_it_is_also_after_a_kill() {
    let terms = |priority, delay_ms| Terms { priority, delay_ms, ..Terms::default() };
    let mut story = Story::new();
    story.ask([
        submit("a", 0..1, terms(0, 0)),
        submit("a", 1..2, terms(9, 50)),
        submit("a", 2..3, terms(3, 0)),
    ]);
    let (mut story, news) = story.resumed(&[]);
    assert_eq!(news.due, Some(Duration::from_millis(50)));
    assert_eq!(story.given(), [(2, 2), (0, 0)]);
    story.now += 50;
    assert_eq!(story.given(), [(1, 1)]);
}

#[test]
fn what_waits_longer_than_its_ttl_is_dead_with_its_input() {
    let terms = Terms { ttl_ms: Some(100), ..Terms::default() };
    let mut story = Story::new();
    story.ask([Ask::Read(1), submit("a", 0..3, terms)]);
    story.now += 99;
    assert_eq!(story.ask([]).dead, []);
    story.now += 1;
    let news = story.ask([]);
    assert_eq!(dead(&news), [(1, EXPIRED), (2, EXPIRED)]);
    assert_eq!(news.dead[1].input, [2]);
    assert_eq!(story.given(), []);
}

#[test]
fn what_is_cancelled_in_the_queue_is_dead_and_the_rest_is_told_apart() {
    let mut story = Story::new();
    story.ask([Ask::Read(1), plain("a", 0..5)]);
    let news = story.ask([Ask::Cancel { link: 3, tickets: vec![(0, 1), (2, 4), (99, 100)] }]);
    assert_eq!(states(&news), [(3, 2, CANCEL), (3, 3, CANCEL), (3, 99, OVER)]);
    assert_eq!(news.recall, [(0, 1)], "it was given out");
    assert_eq!(dead(&news), [(2, CANCELLED), (3, CANCELLED)]);
    assert_eq!(story.given(), [(1, 1), (4, 4)]);
    // The sink has not heard of it.
    let (mut story, news) = story.resumed(&[]);
    assert_eq!(dead(&news), [(2, CANCELLED), (3, CANCELLED)]);
    assert_eq!(story.given().len(), 3);
    // Now it has.
    let (_, news) = story.resumed(&[(2, 4)]);
    assert_eq!(dead(&news), []);
}

#[test]
fn what_was_given_out_is_called_back_and_dead_if_nobody_has_begun_it() {
    let mut story = Story::new();
    story.ask([plain("a", 0..5)]);
    assert_eq!(story.given().len(), 5);
    let news = story.ask([cancel(3, 0), cancel(4, 1), cancel(4, 2), cancel(5, 0)]);
    assert_eq!((states(&news), news.recall), (vec![], vec![(0, 1), (1, 2), (2, 3)]));
    let news = story.ask([cancel(4, 1)]);
    assert_eq!((states(&news), news.recall), (vec![], vec![]), "it was called back");
    let news = story.ask([recalled(&[0], &[2], &[1])]);
    let told = [(3, 0, CANCEL), (5, 0, CANCEL), (4, 2, CANCEL), (4, 1, BEGUN)];
    assert_eq!(states(&news), told, "everybody who asked, once");
    assert_eq!(news.dead, []);
    let back: Vec<_> = news.back.iter().map(|dead| (dead.root, &dead.input[..])).collect();
    assert_eq!(back, [(0, &[0][..]), (2, &[2][..])]);
    assert_eq!([&news.back[0].error, &news.back[1].error], [CANCELLED, CANCELLED_AGAIN]);
    assert_eq!(states(&story.ask([cancel(3, 2)])), [(3, 2, CANCEL)], "it is dead already");
    let news = story.ask([cancel(3, 1)]);
    assert_eq!(news.recall, [(1, 2)], "its worker may have failed meanwhile");
    // A kill: what was told stays so, and the rest is queued again. Before it is known what is over, nobody
    // is told anything.
    let mut story = story.restarted();
    assert_eq!(states(&story.ask([cancel(3, 0), cancel(9, 2), Ask::Left(9)])), []);
    let news = story.ask([Ask::Begin]);
    assert_eq!(states(&news), [(3, 0, CANCEL)]);
    assert_eq!(dead(&news), [(0, CANCELLED), (2, CANCELLED)]);
    let given: Vec<_> = story.given().into_iter().map(|(id, _)| id).collect();
    assert_eq!(given, [1, 3, 4]);
    let (mut story, news) = story.resumed(&[(0, 1), (2, 3)]);
    assert_eq!(dead(&news), []);
    assert_eq!(states(&story.ask([cancel(3, 0)])), [(3, 0, OVER)]);
}

/// Before that is in the store, nobody is told.
#[test]
fn a_kill_while_a_unit_is_called_back_leaves_it_queued() {
    let mut story = Story::new();
    story.ask([plain("a", 0..2)]);
    assert_eq!(story.given().len(), 2);
    assert_eq!(story.ask([cancel(3, 0)]).recall, [(0, 1)]);
    let (mut story, news) = story.resumed(&[]);
    assert_eq!(dead(&news), []);
    let news = story.ask([cancel(3, 0)]);
    assert_eq!(states(&news), [(3, 0, CANCEL)], "the client asks again");
    assert_eq!(story.given(), [(1, 1)]);
}

#[test]
fn what_is_committed_while_it_is_called_back_is_over_and_who_has_gone_is_told_nothing() {
    let mut story = Story::new();
    story.ask([plain("a", 0..3)]);
    assert_eq!(story.given().len(), 3);
    story.ask([cancel(3, 0), cancel(3, 1), cancel(4, 1), Ask::Left(4)]);
    let news = story.ask([committed(&[(0, 1)])]);
    assert_eq!(states(&news), [(3, 0, OVER)]);
    let news = story.ask([recalled(&[0, 1], &[], &[])]);
    assert_eq!(states(&news), [(3, 1, CANCEL)]);
    assert_eq!(news.back.len(), 1, "one of them has its outcome");
}

#[test]
fn of_one_who_is_gone_what_was_given_out_is_called_back_too_unless_others_may_have_it() {
    let by_key = |once: Option<&str>, unique: Option<&str>| {
        let own = |key: Option<&str>| key.map(str::to_owned);
        Terms { once: own(once), unique: own(unique), ..Terms::default() }
    };
    let mut story = Story::new();
    story.ask([
        plain("a", 0..2),
        submit("a", 2..3, by_key(None, Some("k"))),
        submit("a", 3..4, by_key(Some("k"), None)),
        plain("b", 0..1),
    ]);
    assert_eq!(story.given().len(), 5);
    let later = Terms { delay_ms: 1_000, ..Terms::default() };
    let once = Terms { once: Some("l".into()), ..later.clone() };
    story.ask([submit("a", 4..5, once), submit("a", 5..6, later)]);
    story.ask([committed(&[(0, 1)])]);
    let news = story.ask([Ask::Gone { client: "a".into(), cancels: true }]);
    assert_eq!(news.recall, [(1, 2)]);
    assert_eq!(dead(&news), [(6, CANCELLED)]);
    let news = story.ask([recalled(&[1], &[], &[])]);
    assert_eq!((states(&news), news.back.len()), (vec![], 1));
}

#[test]
fn a_ticket_that_was_never_given_is_told_to_be_so_once_it_is_known_which_were() {
    let known = |link, start, end| Ask::Known { link, tickets: vec![(start, end)] };
    let mut story = Story::new();
    story.ask([plain("a", 0..3)]);
    assert_eq!(story.ask([known(1, 0, 3)]).unknown, []);
    let told = story.ask([known(1, 2, 5), known(2, 7, 8)]).unknown;
    assert_eq!(told, [(1, (3, 5)), (2, (7, 8))]);
    let mut story = story.restarted();
    let news = story.ask([known(1, 4, 9), known(2, 9, 10), Ask::Left(2)]);
    assert_eq!(news.unknown, [], "the sink may know of more");
    assert_eq!(story.ask([committed(&[(5, 6)]), Ask::Begin]).unknown, [(1, (6, 9))]);
}

/// Whoever submits with the key of a cancelled unit wants it done.
#[test]
fn nobody_joins_a_unit_that_is_cancelled() {
    let terms = || Terms { unique: Some("k".into()), ..Terms::default() };
    let mut story = Story::new();
    story.ask([submit("a", 0..1, terms())]);
    story.ask([cancel(1, 0)]);
    assert_eq!(tickets(&story.ask([submit("a", 1..2, terms())])), [(1, 1, 1)]);
    assert_eq!(story.given().len(), 1);
    story.ask([cancel(1, 1)]);
    assert_eq!(tickets(&story.ask([submit("b", 0..1, terms())])), [(0, 1, 1)], "it may be begun");
    story.ask([recalled(&[1], &[], &[])]);
    assert_eq!(tickets(&story.ask([submit("b", 1..2, terms())])), [(1, 1, 2)]);
    let (mut story, news) = story.resumed(&[(0, 1)]);
    assert_eq!(dead(&news), [(1, CANCELLED)]);
    assert_eq!(tickets(&story.ask([submit("c", 0..1, terms())])), [(0, 1, 2)]);
    story.ask([committed(&[(1, 2)])]);
    assert_eq!(tickets(&story.ask([submit("c", 1..2, terms())])), [(1, 1, 2)], "it is not over");
}

#[test]
fn one_key_is_one_unit_until_that_is_committed() {
    let terms = || Terms { unique: Some("k".into()), ..Terms::default() };
    let mut story = Story::new();
    story.ask([submit("a", 0..1, terms()), submit("b", 0..1, terms())]);
    let (mut story, _) = story.resumed(&[]);
    let news = story.ask([submit("b", 0..1, terms()), submit("c", 5..6, terms())]);
    assert_eq!(tickets(&news), [(0, 1, 0), (5, 1, 0)]);
    assert_eq!(story.given().len(), 1);
    let news = story.ask([committed(&[(0, 1)]), submit("c", 6..7, terms())]);
    assert_eq!(tickets(&news), [(6, 1, 1)]);
}

#[test]
fn one_key_is_one_unit_also_when_that_is_committed_as_long_as_clients_are_remembered() {
    let terms = || Terms { once: Some("k".into()), ..Terms::default() };
    let mut story = Story::new();
    story.ask([submit("a", 0..1, terms()), plain("a", 1..2)]);
    let (mut story, _) = story.resumed(&[(0, 1)]);
    let news = story.ask([submit("b", 0..1, terms()), submit("a", 9..10, terms())]);
    assert_eq!(tickets(&news), [(0, 1, 0), (9, 1, 0)]);
    story.now += 61_000;
    story.queue.contents.numbers.forget_before(story.now - 60_000);
    assert_eq!(tickets(&story.ask([submit("b", 1..2, terms())])), [(1, 1, 2)]);
}

#[test]
fn a_full_queue_lets_nothing_in_before_there_is_room() {
    let mut story = Story::with(QueueLimits { units_max: 4, ..LIMITS });
    let news = story.ask([plain("a", 0..4), plain("a", 4..6)]);
    assert_eq!((tickets(&news), news.processed), (vec![(0, 4, 0)], vec![(1, 4, 4)]));
    let news = story.ask([Ask::Read(1)]);
    assert_eq!(news.accepted, [], "what is given out makes room for the next time");
    let news = story.ask([Ask::Read(1)]);
    assert_eq!((tickets(&news), news.processed), (vec![(4, 1, 4)], vec![(1, 1, 1)]));
    assert_eq!(tickets(&story.ask([])), [(5, 1, 5)], "the rest of what came together");
    // Who has gone submits it again, and a queue that closes lets nobody wait.
    story.ask([plain("a", 6..8), Ask::Left(1)]);
    let news = story.ask([Ask::Close, plain("b", 0..2)]);
    assert_eq!(news.accepted, []);
    assert_eq!(news.declined.len(), 1);
    assert_eq!(news.declined[0].1.reason, Reason::Draining);
}

/// Nobody else bounds what is told dead: it is with the ventilator until the sink has it.
#[test]
fn what_is_cancelled_takes_its_room_until_it_is_committed() {
    let mut story = Story::with(QueueLimits { units_max: 4, ..LIMITS });
    story.ask([plain("a", 0..4)]);
    story.ask([Ask::Cancel { link: 1, tickets: vec![(0, 3)] }]);
    assert_eq!(tickets(&story.ask([plain("a", 4..6)])), []);
    assert_eq!(tickets(&story.ask([committed(&[(0, 1)])])), [(4, 1, 4)]);
    assert_eq!(tickets(&story.ask([committed(&[(1, 3)])])), [(5, 1, 5)]);
}

#[test]
fn who_is_gone_for_good_may_have_what_is_queued_cancelled() {
    let mut story = Story::new();
    story.ask([plain("a", 0..2), plain("b", 0..2)]);
    let news = story.ask([Ask::Read(1), Ask::Gone { client: "a".into(), cancels: true }]);
    assert_eq!(dead(&news), [(0, CANCELLED), (1, CANCELLED)]);
    assert_eq!(news.units.unwrap().iter().next().unwrap().0, 2);
}

#[test]
fn what_others_may_have_joined_is_not_cancelled_with_the_one_who_came_first() {
    let terms = || Terms { unique: Some("k".into()), ..Terms::default() };
    let mut story = Story::new();
    story.ask([submit("a", 0..1, terms()), plain("a", 1..2), submit("b", 0..1, terms())]);
    let news = story.ask([Ask::Gone { client: "a".into(), cancels: true }]);
    assert_eq!(dead(&news), [(1, CANCELLED)]);
    assert_eq!(story.given(), [(0, 0)]);
}

/// A unit of 1 MiB, of a client that knows the tickets of all before.
fn large(number: u64) -> Ask {
    let mut payload = vec![0xc6];
    payload.extend_from_slice(&(1u32 << 20).to_be_bytes());
    payload.resize(payload.len() + (1 << 20), number as u8);
    let end = payload.len() as u32;
    let units = Units::from_source(number, payload, vec![end]);
    let submit = Box::new(Submit { known: number, terms: Terms::default(), units });
    Ask::Submit { link: 1, client: "a".into(), submit }
}

#[test]
fn segments_go_once_everything_in_them_is_committed_and_one_old_unit_is_moved() {
    let mut story = Story::with(QueueLimits { bytes_max: 1 << 40, ..LIMITS });
    story.ask([large(0)]);
    for number in 1..200 {
        story.ask([large(number)]);
        // Everything but the first is over.
        story.ask([committed(&[(number, number + 1)])]);
    }
    assert!(story.files() <= 6, "{} segments", story.files());
    let (mut story, _) = story.resumed(&[(1, 200)]);
    let units = story.ask([Ask::Read(5)]).units.unwrap();
    assert_eq!(units.len(), 1);
    assert_eq!((units.spans()[0].first, units.bytes()), (0, (1 << 20) + 5));
    assert_eq!(tickets(&story.ask([large(199)])), [(199, 1, 199)], "its number is remembered");
}

/// The sink may not have heard of it when the ventilator is killed.
#[test]
fn what_is_cancelled_stays_so_when_its_segment_is_moved() {
    const UNITS: u64 = 110;
    let mut story = Story::with(QueueLimits { bytes_max: 1 << 40, ..LIMITS });
    let is_cancelled = |number: &u64| number.is_multiple_of(8);
    for number in 0..UNITS {
        story.ask([large(number)]);
        match is_cancelled(&number) {
            true => assert_eq!(states(&story.ask([cancel(1, number)])), [(1, number, CANCEL)]),
            false => drop(story.ask([committed(&[(number, number + 1)])])),
        }
    }
    let older = story.queue.store.older();
    assert!(older.first().is_some_and(|(segment, _)| *segment > 1), "{older:?}");
    let over: Vec<_> = (0..UNITS).filter(|n| !is_cancelled(n)).map(|n| (n, n + 1)).collect();
    let (mut story, news) = story.resumed(&over);
    let cancelled: Vec<_> = (0..UNITS).filter(is_cancelled).collect();
    let told: std::collections::BTreeSet<_> = news.dead.iter().map(|dead| dead.root).collect();
    assert!(told.iter().eq(&cancelled), "{told:?}");
    assert_eq!(story.ask([Ask::Read(100)]).units, None);
}

#[test]
fn what_the_machine_has_lost_is_told_so_that_nobody_waits_for_it() {
    let mut story = Story::new();
    story.ask([plain("a", 0..2)]);
    // The sink knows of a unit behind; those between were accepted in memory.
    let (mut story, news) = story.resumed(&[(4, 5)]);
    assert_eq!(dead(&news), [(2, LOST), (3, LOST)]);
    assert_eq!(tickets(&story.ask([plain("b", 0..1)])), [(0, 1, 5)]);
}

/// Each turn of the queue began a segment once what is known of the clients was more than one holds.
#[test]
fn what_every_segment_begins_with_does_not_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(folder.path()).unwrap();
    let known = vec![1; 17 << 20];
    disk.append(&Head::Next(0), &known);
    assert!(disk.is_full());
    disk.rotate().unwrap();
    disk.append(&Head::Next(0), &known);
    disk.keep(Safety::Kill).unwrap();
    disk.begun();
    assert!(!disk.is_full());
    disk.append(&Head::Next(0), &known[..16 << 20]);
    assert!(!disk.is_full(), "as much follows as it began with");
    disk.append(&Head::Next(0), &known);
    assert!(disk.is_full());
}
