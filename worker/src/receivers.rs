//! The workers that this one sends to, as lanes.
//!
//! Owns which of them are dialled, and under what link; refuses to know what they are sent.

use std::collections::{BTreeMap, btree_map::Entry};

use proto::{
    frame::{Contact, PeerId},
    net::endpoint::seen_from,
    role::LinkId,
    rules::mesh::Mesh,
};

use crate::request::Turn;

/// The workers of the stages that come next.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    receivers: BTreeMap<PeerId, Receiver>,
}

#[derive(Debug)]
struct Receiver {
    link: LinkId,
    name: String,
}

/// Who has answered on a lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Met<'a> {
    /// The one that was dialled; its human-readable name.
    Receiver(&'a str),
    /// Another process, which listens now where that one did.
    Another,
    /// It was never dialled as a receiver.
    Nobody,
}

impl Receivers {
    /// Their links, in the order of their numbers as peers.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.receivers.values().map(|receiver| receiver.link)
    }

    /// Whether this is the link to one of them.
    pub fn has(&self, link: LinkId) -> bool {
        self.links().any(|known| known == link)
    }

    /// The human-readable name of the one at this link.
    pub fn name(&self, link: LinkId) -> Option<&str> {
        let mut receivers = self.receivers.values();
        receivers.find(|receiver| receiver.link == link).map(|receiver| receiver.name.as_str())
    }

    /// Those that are new are dialled, those that are gone are given up. `at` is where the one who
    /// says so is.
    pub fn meet(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh, contacts: Vec<Contact>, at: &str) {
        let is_there = |peer: PeerId| contacts.iter().any(|contact| contact.peer == peer);
        self.receivers.retain(|peer, receiver| {
            // An open session ends by itself, with what it still carries.
            let stays = is_there(*peer) || mesh.is_open(receiver.link);
            if !stays {
                mesh.hang_up(receiver.link, turn.out);
            }
            stays
        });
        for contact in contacts {
            if let Entry::Vacant(place) = self.receivers.entry(contact.peer) {
                let endpoints = seen_from(contact.endpoints, at);
                let link = mesh.dial(endpoints, Some(contact.host), turn.out);
                place.insert(Receiver { link, name: contact.name });
            }
        }
    }

    /// Who has answered on this link.
    pub fn met(&self, link: LinkId, peer: Option<PeerId>) -> Met<'_> {
        let mut receivers = self.receivers.iter();
        match receivers.find(|(_, receiver)| receiver.link == link) {
            Some((wanted, receiver)) if Some(*wanted) == peer => Met::Receiver(&receiver.name),
            Some(_) => Met::Another,
            None => Met::Nobody,
        }
    }

    /// One of them has gone for good.
    pub fn forget(&mut self, link: LinkId) {
        self.receivers.retain(|_, receiver| receiver.link != link);
    }
}
