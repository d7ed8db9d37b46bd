//! Functions that are programs of their own, in any language.
//!
//! Three kinds: [`Exec`] starts a program for each unit, [`Pipe`] talks in JSON lines with one
//! that lives as long as the worker, [`Python`] runs Python source in such a program. Each has a form
//! for many units at once: [`Exec::at_once`], [`AnyOrder`] and [`PythonMany`]. A [`Successor`] is a whole worker in Python.
//!
//! Owns how a program is started, fed, read, timed and ended, and what it is told about the
//! pipeline; refuses to retry: a program's trouble is the unit's [`Failure`](crate::Failure), and
//! the ventilator decides what follows.
//!
//! A program runs in a process group of its own, in a session of its own where there is a terminal,
//! so that what is typed there reaches the worker only, and a timeout ends whatever the program has
//! started too. What ends programs when the worker itself ends is in [`proto::kin`].

mod answer;
mod any_order;
mod command_line;
mod correspondence;
mod dialogue;
mod exec;
mod halt;
mod hint;
pub mod job;
mod many;
#[cfg(test)]
pub(crate) mod many_tests;
mod pipe;
mod program;
mod python;
mod python_many;
mod replace;
mod script;
pub mod slots;
mod suspects;
mod tail;
pub mod template;
mod words;

pub use any_order::AnyOrder;
pub use command_line::{CommandLine, EmptyCommand, Surroundings};
pub use exec::Exec;
pub use pipe::Pipe;
pub use python::Python;
pub use python_many::PythonMany;
#[cfg(feature = "cli")]
pub(crate) use replace::is_successor;
pub use replace::{Succession, Successor};
pub use script::Script;
