//! Reading a frame.
//!
//! Owns the way from bytes to an [`Envelope`]. The two frames that carry values are taken apart by
//! hand, so that the values stay in the memory that they came in; all others are small, and left to
//! serde. Refuses meaning, and whatever does not end where the frame ends.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use bytes::Bytes;
use rmp::{Marker, decode::read_marker};
use rmp_serde::decode::Error;
use serde::{Deserialize, de::Error as _};

use crate::{
    bounds::check,
    frame::{Envelope, Frame, FrameError, Results, VERSION, Work},
    units::Units,
};

impl Envelope {
    /// Reads and checks a peer's bytes.
    ///
    /// # Errors
    /// [`FrameError`]; a peer can send anything.
    pub fn decode(frame: impl Into<Bytes>) -> Result<Self, FrameError> {
        let frame = frame.into();
        // The version stands right behind the marker of the array, so that later versions may
        // change everything else.
        if let [_, found @ 0..=0x7f, ..] = frame[..]
            && found != VERSION
        {
            return Err(FrameError::Version { found });
        }
        let reader = Reader { frame: &frame, rest: &frame };
        let envelope: Self = match reader.values()? {
            Some(envelope) => envelope,
            None => rmp_serde::from_slice(&frame)?,
        };
        // It may have been written in more bytes than it needs.
        if envelope.version != VERSION {
            return Err(FrameError::Version { found: envelope.version });
        }
        check(&envelope.frame)?;
        Ok(envelope)
    }
}

struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
}

impl Reader<'_> {
    /// The envelope, if it is one with values.
    fn values(mut self) -> Result<Option<Envelope>, Error> {
        self.array(6)?;
        let (version, run, from) = (self.plain()?, self.plain()?, self.plain()?);
        let (session, seq) = (self.plain()?, self.plain()?);
        if read_marker(&mut self.rest).map_err(|error| Error::InvalidMarkerRead(error.0))?
            != Marker::FixMap(1)
        {
            return Ok(None);
        }
        let frame = match self.plain::<Body>()? {
            Body::Work => Frame::Work(self.work()?),
            Body::Results => Frame::Results(self.results()?),
            Body::Other => return Ok(None),
        };
        if !self.rest.is_empty() {
            return Err(Error::custom("bytes behind the end of the frame"));
        }
        Ok(Some(Envelope { version, run, from, session, seq, frame }))
    }

    fn work(&mut self) -> Result<Work, Error> {
        self.array(3)?;
        Ok(Work { parcel: self.plain()?, attempt: self.plain()?, units: self.units()? })
    }

    fn results(&mut self) -> Result<Results, Error> {
        self.array(7)?;
        Ok(Results {
            parcel: self.plain()?,
            stage: self.plain()?,
            attempt: self.plain()?,
            units: self.units()?,
            filtered: self.plain()?,
            dead: self.plain()?,
            timing: self.plain()?,
        })
    }

    fn units(&mut self) -> Result<Units, Error> {
        self.array(2)?;
        let spans = self.plain()?;
        let len = rmp::decode::read_bin_len(&mut self.rest)? as usize;
        let Some((payload, rest)) = self.rest.split_at_checked(len) else {
            return Err(Error::custom("values that end behind the frame"));
        };
        self.rest = rest;
        Units::from_wire(spans, self.frame.slice_ref(payload)).map_err(Error::custom)
    }

    fn array(&mut self, expected: u32) -> Result<(), Error> {
        match rmp::decode::read_array_len(&mut self.rest)? {
            found if found == expected => Ok(()),
            found => Err(Error::LengthMismatch(found)),
        }
    }

    fn plain<'de, T: Deserialize<'de>>(&mut self) -> Result<T, Error> {
        T::deserialize(&mut rmp_serde::Deserializer::new(&mut self.rest))
    }
}

/// Which frame it is.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Body {
    Work,
    Results,
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Commit, RunId};

    fn envelope(frame: Frame) -> Envelope {
        let run: RunId = 7;
        Envelope { version: VERSION, run, from: 9, session: 1, seq: 3, frame }
    }

    fn work() -> Vec<u8> {
        let units = Units::from_source(5, vec![1, 2, 3], vec![1, 2, 3]);
        envelope(Frame::Work(Work { parcel: 1, attempt: 2, units })).encode()
    }

    #[test]
    fn a_frame_survives_the_wire() {
        let units = Units::from_source(5, vec![1, 2, 3], vec![1, 2, 3]);
        for frame in [
            Frame::Work(Work { parcel: 1, attempt: 2, units: units.clone() }),
            Frame::Results(Results { units, timing: vec![(3, 1)], ..Results::default() }),
            Frame::Commit(Commit {
                watermark: 3,
                above: vec![(5, 9)],
                horizon: 99,
                complete: false,
                urgent: Some(4),
            }),
            Frame::Beat,
            Frame::Retract(4),
        ] {
            let sent = envelope(frame);
            assert_eq!(Envelope::decode(sent.encode()).unwrap(), sent);
        }
    }

    #[test]
    fn both_ways_of_reading_agree() {
        let bytes = work();
        let by_serde: Envelope = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(Envelope::decode(bytes).unwrap(), by_serde);
    }

    #[test]
    fn other_versions_are_told_apart_from_rubbish() {
        let mut bytes = envelope(Frame::Beat).encode();
        assert!(Envelope::decode(bytes[1..].to_vec()).is_err());
        bytes[1] = 9;
        let wide = [&bytes[..1], &[0xcc, 9], &bytes[2..]].concat();
        for bytes in [bytes, wide] {
            assert!(matches!(Envelope::decode(bytes), Err(FrameError::Version { found: 9 })));
        }
        assert!(Envelope::decode(Bytes::new()).is_err());
    }

    #[test]
    fn a_frame_cut_anywhere_or_with_a_tail_is_refused() {
        let bytes = work();
        for len in 0..bytes.len() {
            assert!(Envelope::decode(bytes[..len].to_vec()).is_err());
        }
        assert!(Envelope::decode([&bytes[..], &[0]].concat()).is_err());
    }
}
