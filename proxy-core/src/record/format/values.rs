//! The values of one line by what they say.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use super::operator::Field;

/// What a line says, field by field.
#[derive(Debug, Default)]
pub struct Values<'l>([Option<Cow<'l, str>>; Field::ALL.len()]);

impl<'l> Values<'l> {
    /// Notes a value, unless the line said it before. Envoy writes `-` where it has none.
    pub fn put(&mut self, field: Field, value: Cow<'l, str>) {
        let place = &mut self.0[field as usize];
        if place.is_none() && value != "-" && !value.is_empty() {
            *place = Some(value);
        }
    }

    /// Takes over what another part of the same line says.
    pub fn extend(&mut self, other: Values<'l>) {
        for (place, value) in self.0.iter_mut().zip(other.0) {
            if place.is_none() {
                *place = value;
            }
        }
    }

    /// What a field says; nothing where it says nothing.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.0[field as usize].as_deref()
    }

    /// A field as a text of its own.
    pub fn owned(&self, field: Field) -> Option<String> {
        self.text(field).map(str::to_string)
    }

    /// A field as a number.
    pub fn number(&self, field: Field) -> Option<u64> {
        self.text(field)?.parse().ok()
    }

    /// An address, written whole or in two parts; port 0 where the line has none.
    pub fn address(&self, whole: Field, parts: Option<(Field, Field)>) -> Option<SocketAddr> {
        let written = self.text(whole).and_then(|text| {
            // Envoy before 1.9 wrote `tcp://10.0.0.1:80`.
            let text = text.split_once("://").map_or(text, |(_, rest)| rest);
            text.parse().ok()
        });
        written.or_else(|| {
            let (ip, port) = parts?;
            let ip: IpAddr = self.text(ip)?.trim_matches(['[', ']']).parse().ok()?;
            let port = self.number(port).and_then(|port| u16::try_from(port).ok());
            Some(SocketAddr::new(ip, port.unwrap_or(0)))
        })
    }
}
