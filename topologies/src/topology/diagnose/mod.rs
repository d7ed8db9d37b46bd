//! What is wrong with a topology, all of it, and how that is shown.
//!
//! Owns the texts that places point into and the one place where a problem becomes something to
//! read. Refuses to find problems: that is the work of the checks.

mod fault;
mod help;
mod nearest;

use std::{borrow::Cow, fmt, ops::Range};

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin as WholeText, Renderer, Snippet,
};
use serde::Serialize;

pub use self::fault::{Expected, Fault, Unfit, Unread, Vocabulary};
pub(super) use self::nearest::nearest;
use super::{
    location::{Location, Origin},
    texts::Texts,
};

/// One mistake, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub fault: Fault,
    /// Where; none when it is the text as a whole.
    pub place: Option<Location>,
    /// Another place that explains it, and what is there.
    pub context: Option<(Location, &'static str)>,
}

impl Problem {
    pub(super) fn at(place: Location, fault: Fault) -> Self {
        Self { fault, place: Some(place), context: None }
    }

    pub(super) fn whole(fault: Fault) -> Self {
        Self { fault, place: None, context: None }
    }

    pub(super) fn with_context(mut self, place: Location, label: &'static str) -> Self {
        self.context = Some((place, label));
        self
    }
}

/// All mistakes of one topology, in the order in which they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    texts: Texts,
    problems: Vec<Problem>,
}

/// One mistake for scripts: what `check --output json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of mistake, a stable word.
    pub code: &'static str,
    /// The topology, `--set`, or a file of Python source.
    pub file: String,
    /// From 1; none when the text as a whole is meant.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostics {
    pub(super) fn new(texts: Texts, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            problem.place.as_ref().map(|place| (place.origin, place.range.start))
        });
        Self { texts, problems }
    }

    /// The mistakes; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The mistakes as plain facts, for scripts.
    pub fn findings(&self) -> Vec<Finding> {
        self.problems.iter().map(|problem| self.finding(problem)).collect()
    }

    /// The mistakes as a user reads them: file, line, caret and help each, and their
    /// number below. With [`Colour::Ansi`] for a terminal.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Ansi => Renderer::styled(),
            Colour::Plain => Renderer::plain(),
        };
        let mut out = String::new();
        for problem in &self.problems {
            // The renderer pads the gutter's empty lines; nobody should have to keep those blanks.
            for line in renderer.render(&[self.report(problem)]).lines() {
                out.push_str(line.trim_end());
                out.push('\n');
            }
            out.push('\n');
        }
        let path = self.texts.path();
        out + &match self.problems.len() {
            1 => format!("1 mistake in {path}\n"),
            count => format!("{count} mistakes in {path}\n"),
        }
    }

    fn report<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let title = Level::ERROR.primary_title(problem.fault.to_string());
        let group = match &problem.place {
            Some(place) => self.snippets(Group::with_title(title), problem, place),
            None => title.element(WholeText::path(self.texts.path())),
        };
        match problem.fault.help() {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }

    fn snippets<'a>(
        &'a self,
        group: Group<'a>,
        problem: &'a Problem,
        place: &Location,
    ) -> Group<'a> {
        let primary = AnnotationKind::Primary
            .span(self.first_line(place))
            .label(problem.fault.label().map(Cow::from));
        let Some((other, label)) = &problem.context else {
            return group.element(self.snippet(place.origin, primary));
        };
        let context = AnnotationKind::Context.span(self.first_line(other)).label(*label);
        if other.origin == place.origin {
            return group.element(self.snippet(place.origin, primary).annotation(context));
        }
        group
            .element(self.snippet(place.origin, primary))
            .element(self.snippet(other.origin, context))
    }

    fn snippet<'a>(
        &'a self,
        origin: Origin,
        annotation: Annotation<'a>,
    ) -> Snippet<'a, Annotation<'a>> {
        let (path, text) = self.texts.of(origin);
        Snippet::source(text).path(path).annotation(annotation)
    }

    /// A value of many lines is marked on its first, which says enough.
    fn first_line(&self, place: &Location) -> Range<usize> {
        let (_, text) = self.texts.of(place.origin);
        let Range { start, end } = place.range;
        let end = text
            .get(start..end)
            .and_then(|marked| marked.find('\n'))
            .map_or(end, |line| start + line.max(1));
        start..end
    }

    fn finding(&self, problem: &Problem) -> Finding {
        let place = problem.place.as_ref();
        let (file, text) = self.texts.of(place.map_or(Origin::File, |place| place.origin));
        let before = place.and_then(|place| text.get(..place.range.start));
        let line_start = |before: &str| before.rfind('\n').map_or(0, |newline| newline + 1);
        Finding {
            code: problem.fault.code(),
            file: file.to_owned(),
            line: before.map(|before| before.matches('\n').count() + 1),
            column: before.map(|before| before[line_start(before)..].chars().count() + 1),
            message: problem.fault.to_string(),
            help: problem.fault.help(),
        }
    }
}

/// Whether what is rendered may hold ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Ansi,
    /// For files, pipes and tests.
    Plain,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}

impl std::error::Error for Diagnostics {}
