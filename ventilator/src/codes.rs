//! Code that units of the first stage name by an id.
//!
//! Owns what is named now, so that a worker that joins late is told all of it; refuses to understand
//! any of it. Whoever feeds the ventilator says when a unit may name it first, and when none does any
//! more.

use std::collections::BTreeMap;

use proto::{
    frame::{Code, Frame},
    role::{Effect, LinkId},
    rules::mesh::Mesh,
};

/// The code that units may name.
#[derive(Debug, Default)]
pub(crate) struct Codes(BTreeMap<u64, Code>);

impl Codes {
    /// Takes note of code that is new, or that no unit names any more.
    pub fn note(&mut self, code: Code) {
        match code.bytes {
            Some(_) => self.0.insert(code.id, code),
            None => self.0.remove(&code.id),
        };
    }

    /// Tells a worker of all that units may name.
    pub fn tell<Q>(&self, link: LinkId, mesh: &mut Mesh, out: &mut Vec<Effect<Q>>) {
        for code in self.0.values() {
            mesh.send(link, Frame::Code(Box::new(code.clone())), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_unit_names_any_more_is_forgotten() {
        let mut codes = Codes::default();
        for (id, bytes) in [(0, Some(vec![7])), (1, Some(vec![8])), (1, None), (2, Some(vec![9]))] {
            codes.note(Code { id, bytes });
        }
        assert_eq!(codes.0.keys().copied().collect::<Vec<_>>(), [0, 2]);
    }
}
