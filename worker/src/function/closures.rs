//! Closures as workers, for functions without state of their own.
//!
//! Owns the four shapes of a closure; refuses set-up and tear-down, for which there is
//! [`Worker`].

use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Emit, Typed, Unit, Worker};

/// A closure that sends its own outputs, with the types that it alone does not pin down.
struct Closure<F, I, O, E> {
    work: F,
    types: PhantomData<fn(I) -> Result<O, E>>,
}

impl<F, I, O, E> Worker for Closure<F, I, O, E>
where
    F: FnMut(I, &mut Emit<'_, O>) -> Result<(), E> + Send,
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
{
    type Input = I;
    type Output = O;
    type Error = E;

    fn work(&mut self, _: &Unit<'_>, input: I, emit: &mut Emit<'_, O>) -> Result<(), E> {
        (self.work)(input, emit)
    }
}

fn closure<I, O, E, F>(work: F) -> Typed<Closure<F, I, O, E>>
where
    F: FnMut(I, &mut Emit<'_, O>) -> Result<(), E> + Send,
{
    Typed(Closure { work, types: PhantomData })
}

/// A function with one output for each input, which can't fail. One that returns a `Result` is
/// for [`try_map`]: here it fails every unit.
///
/// ```
/// let square = worker::map(|n: u64| n * n);
/// # let _: Box<dyn worker::Function> = Box::new(square);
/// ```
pub fn map<I, O, F>(mut f: F) -> Typed<impl Worker<Input = I, Output = O>>
where
    I: DeserializeOwned,
    O: Serialize,
    F: FnMut(I) -> O + Send,
{
    closure(move |input, emit: &mut Emit<'_, O>| {
        emit.send(&f(input));
        Ok::<(), Infallible>(())
    })
}

/// A function with one output for each input, or an error that fails the unit.
///
/// ```
/// let number = worker::try_map(|text: String| text.trim().parse::<i64>());
/// # let _: Box<dyn worker::Function> = Box::new(number);
/// ```
pub fn try_map<I, O, E, F>(mut f: F) -> Typed<impl Worker<Input = I, Output = O>>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
    F: FnMut(I) -> Result<O, E> + Send,
{
    closure(move |input, emit: &mut Emit<'_, O>| f(input).map(|output| emit.send(&output)))
}

/// A function with one output, or none: then the unit is filtered.
///
/// ```
/// let even = worker::filter_map(|n: u64| (n % 2 == 0).then_some(n));
/// # let _: Box<dyn worker::Function> = Box::new(even);
/// ```
pub fn filter_map<I, O, F>(mut f: F) -> Typed<impl Worker<Input = I, Output = O>>
where
    I: DeserializeOwned,
    O: Serialize,
    F: FnMut(I) -> Option<O> + Send,
{
    closure(move |input, emit: &mut Emit<'_, O>| {
        if let Some(output) = f(input) {
            emit.send(&output);
        }
        Ok::<(), Infallible>(())
    })
}

/// A function with any number of outputs, each a unit of its own from here on.
///
/// ```
/// let lines = worker::flat_map(|text: String| text.lines().map(String::from).collect::<Vec<_>>());
/// # let _: Box<dyn worker::Function> = Box::new(lines);
/// ```
pub fn flat_map<I, L, F>(mut f: F) -> Typed<impl Worker<Input = I, Output = L::Item>>
where
    I: DeserializeOwned,
    L: IntoIterator<Item: Serialize>,
    F: FnMut(I) -> L + Send,
{
    closure(move |input, emit: &mut Emit<'_, L::Item>| {
        for output in f(input) {
            emit.send(&output);
            // An endless iterator ends here, once it has broken a limit.
            if emit.is_closed() {
                break;
            }
        }
        Ok::<(), Infallible>(())
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{call, lines};

    #[test]
    fn map_gives_one_output() {
        assert_eq!(call(&mut crate::map(|n: u64| n + 1), "41"), lines("42"));
    }

    #[test]
    fn try_map_gives_an_output_or_fails_with_the_errors_text() {
        let mut parse = crate::try_map(|text: String| text.parse::<u8>());
        assert_eq!(call(&mut parse, r#""7""#), lines("7"));
        assert_eq!(call(&mut parse, r#""x""#), Err("invalid digit found in string".into()));
    }

    #[test]
    fn filter_map_gives_an_output_or_none() {
        let mut even = crate::filter_map(|n: u64| n.is_multiple_of(2).then_some(n));
        assert_eq!(call(&mut even, "4"), lines("4"));
        assert_eq!(call(&mut even, "5"), lines(""));
    }

    #[test]
    fn a_result_is_no_output_of_any_shape_of_closure() {
        let parse = |text: String| text.parse::<u8>().map_err(|error| error.to_string());
        let told = |said: Result<Vec<String>, String>| {
            let text = said.unwrap_err();
            assert!(text.contains("worker::try_map"), "{text}");
        };
        told(call(&mut crate::map(parse), r#""7""#));
        told(call(&mut crate::filter_map(move |text| Some(parse(text))), r#""7""#));
        told(call(&mut crate::flat_map(move |text| [parse(text)]), r#""7""#));
        told(call(&mut crate::try_map(move |text| Ok::<_, String>(parse(text))), r#""7""#));
    }

    #[test]
    fn flat_map_gives_every_item_and_leaves_an_endless_iterator() {
        assert_eq!(call(&mut crate::flat_map(|n: u64| 0..n), "3"), lines("0 1 2"));
        let text = call(&mut crate::flat_map(|n: u64| n..), "3").unwrap_err();
        assert!(text.contains("expansion_units_max"), "{text}");
    }
}
