//! Long-lived programs that are asked about many units at once, and answer in any order.
//!
//! Owns which units a program was asked about, their time limits, and what follows when a program
//! ends or does not let go of a unit. Refuses to know the form of questions and answers, which is
//! [`Form`]'s.
//!
//! - A unit's time limit is its own: the unit fails. If the program can be told to let go of it, it goes
//!   on; else it is ended, and the others are asked again.
//! - A program that does not let go of such a unit gets no further ones. It is ended once the others in it are
//!   done, and another one is started for those that follow.
//! - A program that ends fails the unit that is the cause: see `suspects.rs`.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::correspondence::{Correspondence, Mail};
use super::halt::cannot_start;
use super::suspects::Suspects;
use super::{CommandLine, Surroundings};
use crate::concurrent::{Concurrent, Finished, Slot, Waker};
use crate::function::start_of;
use crate::{Failure, OutputLimits, Outputs, Unit};

/// The least time that a program has for its opening, when there is a timeout for units.
const OPENING_LIMIT: Duration = Duration::from_secs(60);
/// How long a program may take to let go of a unit.
const LET_GO_LIMIT: Duration = Duration::from_secs(5);
/// A longer line of questions is begun anew.
const QUESTIONS_BYTES_MAX: usize = 1 << 20;

/// A program is given as many units to go on with as it finishes in so long: it answers in bunches, and
/// would have nothing to do until it has heard what is next.
const AHEAD: Duration = Duration::from_millis(10);
/// But no more than this part of what it may have open.
const AHEAD_PART: u32 = 4;

/// The number of a question.
pub(super) type Id = u64;

/// How a program is asked, and answers.
pub(super) trait Form: Send {
    /// What is said right after the start, and answered by one line, if anything.
    fn opening(&self, open: u32) -> Option<Vec<u8>>;

    /// The answer to that: how many units it can have open.
    fn opened(&mut self, line: &[u8]) -> Result<u32, Failure>;

    /// Appends the question about a unit, without what is between questions.
    fn question(
        &self,
        id: Id,
        unit: &Unit<'_>,
        input: &[u8],
        to: &mut Vec<u8>,
    ) -> Result<(), Failure>;

    /// Appends several questions as they are sent.
    fn join(&self, questions: &[&[u8]], to: &mut Vec<u8>);

    /// Whether the program keeps what it is asked beyond what it may have open, until it can begin it.
    fn keeps_waiting(&self) -> bool;

    /// Tells the program to let go of a unit, if it can be told.
    fn let_go(&self, id: Id) -> Option<Vec<u8>>;

    /// Gives every answer of a line to `hear`.
    ///
    /// # Errors
    /// When it is no answer: then why.
    fn read(
        &mut self,
        line: &[u8],
        hear: &mut dyn FnMut(Id, Result<Answer<'_>, Failure>) -> bool,
    ) -> Result<(), String>;
}

/// Outputs of a unit, as MessagePack one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub count: usize,
    pub values: &'a [u8],
}

impl Answer<'_> {
    fn push(self, out: &mut Outputs) -> Result<(), Failure> {
        let mut rest = self.values;
        for _ in 0..self.count {
            let len = proto::value::value_len(rest)
                .map_err(|error| Failure::new(format!("an output cannot be sent: {error}")))?;
            let (value, behind) = rest.split_at(len);
            out.push_bytes(value)?;
            rest = behind;
        }
        Ok(())
    }
}

/// A unit that is open.
#[derive(Debug)]
struct Asked {
    slot: Slot,
    id: Id,
    // For people.
    name: Box<str>,
    question: Vec<u8>,
}

/// A program with what it was asked.
#[derive(Debug)]
struct Talk {
    program: Correspondence,
    opened: bool,
    asked: BTreeMap<Id, Asked>,
    // When the time of each is up, in order; those that are answered are still among them.
    limits: VecDeque<(Instant, Id)>,
    // Those whose time does not run, since the program is not ready yet.
    unlimited: Vec<Id>,
    // What it was told to let go of, since when, and the unit's name.
    let_go: BTreeMap<Id, (Instant, Box<str>)>,
    unread: VecDeque<Vec<u8>>,
}

/// How a program has become useless.
enum End {
    /// By itself.
    Died(Failure),
    /// It has not come as far as to be asked.
    NeverOpened(Failure),
}

/// Programs of this form.
#[derive(Debug)]
pub(super) struct Many<F> {
    form: F,
    command: CommandLine,
    surroundings: Surroundings,
    line_bytes_max: usize,
    open_max: u32,
    open: u32,
    waker: Waker,
    next_id: Id,
    suspects: Suspects<Asked>,
    current: Option<Talk>,
    // Those that do not let go of a unit.
    retiring: Vec<Talk>,
    failed: Vec<(Slot, Failure)>,
    // Units that have finished since then, and how many are given to go on with.
    pace: (Instant, usize),
    ahead: u32,
}

impl<F: Form> Many<F> {
    /// Nothing is started before [`Concurrent::begin`].
    pub(super) fn new(
        form: F,
        command: CommandLine,
        surroundings: Surroundings,
        line_bytes_max: usize,
        open_max: u32,
    ) -> Self {
        Self {
            form,
            command,
            surroundings,
            line_bytes_max,
            open_max,
            open: open_max,
            waker: Waker::default(),
            next_id: 0,
            suspects: Suspects::new(),
            current: None,
            retiring: Vec::new(),
            failed: Vec::new(),
            pace: (Instant::now(), 0),
            ahead: 0,
        }
    }

    /// So many units have finished.
    fn keep_pace(&mut self, units: usize) {
        self.pace.1 += units;
        let passed = self.pace.0.elapsed();
        if passed >= AHEAD && self.form.keeps_waiting() {
            let soon = self.pace.1 as f64 * AHEAD.as_secs_f64() / passed.as_secs_f64();
            self.ahead = (soon as u32).min(self.open / AHEAD_PART);
            self.pace = (Instant::now(), 0);
        }
    }

    fn start_program(&self) -> Result<Talk, Failure> {
        let command = self.command.command(&self.surroundings);
        let name = self.command.program();
        let program = Correspondence::start(command, name, self.line_bytes_max, self.waker.clone())
            .map_err(|error| cannot_start(&self.command, &self.surroundings, &error))?;
        let opening = self.form.opening(self.open);
        opening.iter().for_each(|line| program.send(line));
        Ok(Talk::new(program, opening.is_none()))
    }

    /// Waits for the answer to the opening.
    fn open(&mut self, talk: &mut Talk) -> Result<u32, Failure> {
        let limit = self.surroundings.timeout.map(|limit| limit.max(OPENING_LIMIT));
        let until = limit.map(|limit| Instant::now() + limit);
        loop {
            let Mail { lines, ended } = talk.program.take();
            let mut lines = VecDeque::from(lines);
            if let Some(line) = lines.pop_front() {
                talk.unread = lines;
                talk.opened = true;
                return self.form.opened(&line);
            }
            if let Some(failure) = ended {
                return Err(failure);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                let (name, limit) = (self.command.program(), limit.unwrap_or_default());
                return Err(Failure::new(format!("`{name}` was not ready after {limit:?}")));
            }
            self.waker.wait(until);
        }
    }

    /// Takes in what a program has said.
    fn listen(&mut self, talk: &mut Talk, finished: &mut Finished) -> Option<End> {
        let (form, name) = (&mut self.form, self.command.program());
        let Mail { lines, ended } = talk.program.take();
        talk.unread.extend(lines);
        while !finished.is_full()
            && let Some(line) = talk.unread.pop_front()
        {
            if !talk.opened {
                match form.opened(&line) {
                    Ok(_) => talk.open(self.surroundings.timeout),
                    Err(failure) => return Some(End::NeverOpened(failure)),
                }
                continue;
            }
            let Talk { asked, let_go, .. } = talk;
            let mut hear = |id, said: Result<Answer<'_>, Failure>| match asked.remove(&id) {
                Some(unit) => {
                    finished.unit(unit.slot, |out| said?.push(out));
                    true
                }
                None => let_go.remove(&id).is_some(),
            };
            if let Err(reason) = form.read(&line, &mut hear) {
                let answer = start_of(&line);
                let text = format!("`{name}` gave a wrong answer ({reason}): {answer}");
                return Some(End::Died(Failure::new(text)));
            }
        }
        if !talk.unread.is_empty() {
            return None;
        }
        ended.map(|failure| match talk.opened {
            true => End::Died(failure),
            false => End::NeverOpened(failure),
        })
    }

    /// A program is of no use any more.
    fn over(&mut self, talk: Talk, end: End) {
        let units: Vec<Asked> = talk.asked.into_values().collect();
        match end {
            End::NeverOpened(failure) => {
                let units = units.into_iter().chain(self.suspects.take_all());
                self.failed.extend(units.map(|unit| (unit.slot, failure.clone())));
            }
            End::Died(failure) => {
                let open = units.len();
                match self.suspects.died(units) {
                    Some(unit) => self.failed.push((unit.slot, failure)),
                    None if open > 0 => {
                        let program = self.command.program();
                        tracing::warn!(program, open, %failure, "a program ended with units open; they are asked again in smaller groups, to find the one that is the cause");
                    }
                    None => tracing::debug!(%failure, "a program left by itself"),
                }
            }
        }
    }

    fn listen_to_all(&mut self, finished: &mut Finished) {
        if let Some(mut talk) = self.current.take() {
            match self.listen(&mut talk, finished) {
                None => self.current = Some(talk),
                Some(end) => self.over(talk, end),
            }
        }
        for mut talk in std::mem::take(&mut self.retiring) {
            match self.listen(&mut talk, finished) {
                // All that it is still at is what it does not let go of.
                None if talk.asked.is_empty() => drop(talk),
                None => self.retiring.push(talk),
                Some(end) => self.over(talk, end),
            }
        }
        if finished.is_full() {
            self.waker.wake();
        }
    }

    /// Fails the units whose time is up.
    fn keep_time(&mut self) {
        let now = Instant::now();
        let limit = self.surroundings.timeout.unwrap_or_default();
        let name = self.command.program();
        let mut kills = false;
        for talk in self.current.iter_mut().chain(&mut self.retiring) {
            for unit in talk.take_late(now) {
                let let_go = self.form.let_go(unit.id);
                let how = if let_go.is_some() { "cancelled" } else { "killed" };
                let text = format!("`{name}` took longer than {limit:?} and was {how}");
                self.failed.push((unit.slot, Failure::new(text)));
                match let_go {
                    Some(words) => {
                        talk.program.send(&words);
                        talk.let_go.insert(unit.id, (now, unit.name));
                    }
                    None => kills = true,
                }
            }
        }
        // What cannot be told to let go of one unit is ended, and has nothing to do with the others.
        if kills && let Some(talk) = self.current.take() {
            self.suspects.again(talk.asked.into_values().collect());
        }
        self.retire(now);
    }

    /// A program that does not let go of a unit is given no more of them.
    fn retire(&mut self, now: Instant) {
        let holds = |talk: &Talk| talk.held(now).map(ToOwned::to_owned);
        let Some(unit) = self.current.as_ref().and_then(holds) else { return };
        let program = self.command.program();
        let open = self.current.as_ref().map_or(0, |talk| talk.asked.len());
        tracing::warn!(
            program, %unit, open,
            "a unit was cancelled, since its time was up, and goes on: another program is started for what follows, and this one is ended once the units beside it are done"
        );
        self.retiring.extend(self.current.take());
    }

    /// Asks about what waits.
    fn ask(&mut self) {
        let asked = self.current.as_ref().map_or(0, |talk| talk.asked.len());
        // What it was told to let go of still has its place there.
        let held = self.current.as_ref().map_or(0, |talk| talk.let_go.len());
        let most = (self.open + self.ahead) as usize;
        let room = most.saturating_sub(asked + held);
        let units = self.suspects.next(asked, room);
        if units.is_empty() {
            return;
        }
        let mut talk = match self.current.take().map_or_else(|| self.start_program(), Ok) {
            Ok(talk) => talk,
            Err(failure) => {
                return self.failed.extend(units.into_iter().map(|u| (u.slot, failure.clone())));
            }
        };
        let mut lines = Vec::new();
        let (mut questions, mut bytes) = (Vec::new(), 0);
        for unit in &units {
            questions.push(&unit.question[..]);
            bytes += unit.question.len();
            if bytes > QUESTIONS_BYTES_MAX {
                self.form.join(&questions, &mut lines);
                (questions, bytes) = (Vec::new(), 0);
            }
        }
        if !questions.is_empty() {
            self.form.join(&questions, &mut lines);
        }
        talk.program.send(&lines);
        for unit in units {
            talk.unlimited.push(unit.id);
            talk.asked.insert(unit.id, unit);
        }
        if talk.opened {
            talk.open(self.surroundings.timeout);
        }
        self.current = Some(talk);
    }
}

impl Talk {
    fn new(program: Correspondence, opened: bool) -> Self {
        Self {
            program,
            opened,
            asked: BTreeMap::new(),
            limits: VecDeque::new(),
            unlimited: Vec::new(),
            let_go: BTreeMap::new(),
            unread: VecDeque::new(),
        }
    }

    /// It is ready: the time of what it was asked runs from now on.
    fn open(&mut self, limit: Option<Duration>) {
        self.opened = true;
        let asked = self.unlimited.drain(..);
        if let Some(until) = limit.map(|limit| Instant::now() + limit) {
            self.limits.extend(asked.map(|id| (until, id)));
        }
    }

    /// Those whose time is up.
    fn take_late(&mut self, now: Instant) -> Vec<Asked> {
        let mut late = Vec::new();
        while let Some((_, id)) = self.limits.front().filter(|(until, _)| *until <= now) {
            late.extend(self.asked.remove(id));
            self.limits.pop_front();
        }
        late
    }

    /// The unit that it should have let go of long ago.
    fn held(&self, now: Instant) -> Option<&str> {
        let held = self.let_go.values().find(|(since, _)| now >= *since + LET_GO_LIMIT);
        held.map(|(_, name)| &**name)
    }

    /// When its next time is up.
    fn due(&self) -> Option<Instant> {
        let limit = self.limits.front().map(|(until, _)| *until);
        let let_go = self.let_go.values().map(|(since, _)| *since + LET_GO_LIMIT).min();
        limit.into_iter().chain(let_go).min()
    }
}

impl<F: Form> Concurrent for Many<F> {
    fn open_max(&self) -> u32 {
        self.open_max
    }

    fn begin(&mut self, open: u32, _: OutputLimits, waker: Waker) -> Result<u32, Failure> {
        (self.open, self.waker) = (open, waker);
        let mut talk = self.start_program()?;
        if !talk.opened {
            let can = self.open(&mut talk)?;
            if can < open {
                let program = self.command.program();
                tracing::warn!(program, "it has {can} units open at once, not {open}");
            }
            self.open = can.clamp(1, open);
        }
        self.current = Some(talk);
        Ok(self.open)
    }

    fn start(&mut self, slot: Slot, unit: &Unit<'_>, input: &[u8]) {
        let (id, mut question) = (self.next_id, Vec::new());
        self.next_id += 1;
        match self.form.question(id, unit, input, &mut question) {
            Ok(()) => {
                let name = unit.to_string().into_boxed_str();
                self.suspects.add(Asked { slot, id, name, question });
            }
            Err(failure) => self.failed.push((slot, failure)),
        }
    }

    fn poll(&mut self, finished: &mut Finished) {
        let before = finished.len();
        self.listen_to_all(finished);
        self.keep_pace(finished.len() - before);
        self.keep_time();
        self.ask();
        for (slot, failure) in self.failed.drain(..) {
            finished.failed(slot, failure);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.current.iter().chain(&self.retiring).filter_map(Talk::due).min()
    }

    fn ahead(&self) -> u32 {
        self.ahead
    }

    fn end(&mut self) {
        self.suspects.take_all();
        self.retiring.clear();
        if let Some(talk) = self.current.take().filter(|talk| talk.asked.is_empty()) {
            talk.program.leave();
        }
    }
}
