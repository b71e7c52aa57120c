//! A table as the kernel keeps it: entries one behind another, chain after chain. Jumps and the begins and ends of chains are
//! offsets there; here they are numbers of entries, so that entries can come and go.

use std::{collections::HashMap, io};

use super::{
    bytes::{field, names, number, size_at, u16_at, u32_at, unreadable},
    entry::{self, ERROR, HEADER, RETURN},
    family::Family,
    socket::{NAME, Socket},
};

/// Number of hooks: before routing, in, forward, out, after routing.
pub const HOOKS: usize = 5;
/// `NF_INET_LOCAL_OUT`
const OUTPUT: usize = 3;
/// Packets and bytes of an entry: `struct xt_counters`.
pub const COUNTERS: usize = 16;

/// A table's name, which hooks it has, and its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    family: Family,
    name: &'static str,
    /// A bit for each hook.
    hooks: u32,
    /// The first entry of each hook's chain; of hooks that the table does not have too, where it means nothing.
    begins: [usize; HOOKS],
    /// The last, which is the chain's policy.
    ends: [usize; HOOKS],
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    bytes: Vec<u8>,
    /// Where its verdict is to go on in the table, the entry with which it does.
    jump: Option<usize>,
}

impl Table {
    /// The table of this name as it is in the kernel.
    pub fn read(socket: &Socket, name: &'static str) -> io::Result<Self> {
        let info = socket.info(name)?;
        let size = size_at(&info, NAME + 4 + 2 * 4 * HOOKS + 4)?;
        Self::parse(socket.family(), name, &info, &socket.entries(name, size)?)
    }

    /// Reads what `struct ipt_getinfo` and the entries say.
    fn parse(family: Family, name: &'static str, info: &[u8], mut rest: &[u8]) -> io::Result<Self> {
        let layout = family.layout();
        let (mut entries, mut numbers, mut offset) = (Vec::new(), HashMap::new(), 0);
        while !rest.is_empty() {
            let next = usize::from(u16_at(rest, layout.target_offset + 2)?);
            let (bytes, behind) = rest.split_at_checked(next).ok_or_else(unreadable)?;
            if next < layout.size + HEADER {
                return Err(unreadable());
            }
            numbers.insert(offset, entries.len());
            entries.push(Entry {
                bytes: bytes.to_vec(),
                jump: None,
            });
            offset += next;
            rest = behind;
        }
        let ends = |last: &Entry| last.begins(family, Some(ERROR));
        if !entries.last().is_some_and(ends) {
            return Err(unreadable());
        }
        let entry_at = |offset: usize| numbers.get(&offset).copied().ok_or_else(unreadable);
        for entry in &mut entries {
            let target = entry.target(family)?;
            // A standard target has no name. What is below 0 is a verdict.
            if names(&entry.bytes, target + entry::NAME, "")
                && let Ok(offset) = usize::try_from(u32_at(&entry.bytes, target + HEADER)?.cast_signed())
            {
                entry.jump = Some(entry_at(offset)?);
                // Where that is in bytes is known again when the table is written.
                entry.bytes[target + HEADER..][..4].fill(0);
            }
        }
        let hooks = u32_at(info, NAME)?;
        let mut table = Self {
            family,
            name,
            hooks,
            begins: [0; HOOKS],
            ends: [0; HOOKS],
            entries,
        };
        for hook in (0..HOOKS).filter(|hook| hooks & 1 << hook != 0) {
            table.begins[hook] = entry_at(size_at(info, NAME + 4 + 4 * hook)?)?;
            table.ends[hook] = entry_at(size_at(info, NAME + 4 + 4 * (HOOKS + hook))?)?;
        }
        Ok(table)
    }

    /// Which addresses it is about.
    pub fn family(&self) -> Family {
        self.family
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where it has a chain of this name.
    pub fn has_chain(&self, name: &str) -> bool {
        self.head(name).is_some()
    }

    /// Takes a chain away, and all jumps to it.
    pub fn remove_chain(&mut self, name: &str) {
        let Some(first) = self.head(name) else {
            return;
        };
        let behind = &self.entries[first + 1..];
        // The table's last entry looks like the begin of a chain; hooks' chains stand before those of users.
        let length = behind
            .iter()
            .take_while(|entry| !entry.begins(self.family, None))
            .count();
        let chain = first..first + 1 + length;
        let goes =
            |number: usize, entry: &Entry| chain.contains(&number) || entry.jump.is_some_and(|to| chain.contains(&to));
        let goes: Vec<bool> = self
            .entries
            .iter()
            .enumerate()
            .map(|(number, entry)| goes(number, entry))
            .collect();
        let mut goes = goes.into_iter();
        // Each entry's number afterwards: of one that goes, that of the next which stays.
        let mut left = 0;
        let numbers: Vec<usize> = goes
            .clone()
            .map(|goes| {
                left += usize::from(!goes);
                left - usize::from(!goes)
            })
            .collect();
        self.entries.retain(|_| !goes.next().unwrap_or(false));
        self.renumber(|number| numbers[number]);
    }

    /// Adds a chain of these entries, none of which jumps, as the last, and a jump to it as the first entry of OUTPUT.
    pub fn add_chain(&mut self, name: &str, rules: Vec<Vec<u8>>) {
        let first = self.begins[OUTPUT];
        self.renumber(|number| number + usize::from(number >= first));
        // The jump itself, where the chain begins now.
        self.begins[OUTPUT] = first;
        // With the jump, and before the entry that ends the table.
        let head = self.entries.len();
        let jump = Entry {
            bytes: entry::standard(self.family, 0),
            jump: Some(head + 1),
        };
        self.entries.insert(first, jump);
        let ending = entry::standard(self.family, RETURN);
        let chain = [entry::head(self.family, name)]
            .into_iter()
            .chain(rules)
            .chain([ending]);
        self.entries
            .splice(head..head, chain.map(|bytes| Entry { bytes, jump: None }));
    }

    /// Writes it in the place of a table of `before` entries, with what its entries have counted. What was counted since it was
    /// read is lost.
    pub fn write(&self, socket: &Socket, before: usize) -> io::Result<()> {
        let (header, entries) = self.encode()?;
        socket.replace(&header, before, &entries)?;
        let at = self.family.layout().counters;
        let counters: Vec<u8> = self
            .entries
            .iter()
            .flat_map(|entry| &entry.bytes[at..at + COUNTERS])
            .copied()
            .collect();
        // The rules are in force. Refused where somebody has changed them again: then nothing is left to be counted on.
        let _ = socket.add_counters(self.name, &counters);
        Ok(())
    }

    /// `struct ipt_replace` up to the number of counters, and the entries.
    fn encode(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut size = 0;
        let offsets: Vec<usize> = self
            .entries
            .iter()
            .map(|entry| {
                size += entry.bytes.len();
                size - entry.bytes.len()
            })
            .collect();
        let mut entries = Vec::with_capacity(size);
        for entry in &self.entries {
            let begin = entries.len();
            entries.extend(&entry.bytes);
            if let Some(jump) = entry.jump {
                let verdict = begin + entry.target(self.family)? + HEADER;
                entries[verdict..verdict + 4].copy_from_slice(&number(offsets[jump])?);
            }
        }
        let mut header = field::<NAME>(self.name).to_vec();
        header.extend(self.hooks.to_ne_bytes());
        header.extend(number(self.entries.len())?);
        header.extend(number(size)?);
        for places in [&self.begins, &self.ends] {
            for place in places {
                header.extend(number(offsets[*place])?);
            }
        }
        Ok((header, entries))
    }

    /// The entry that begins the chain of this name.
    fn head(&self, name: &str) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.begins(self.family, Some(name)))
    }

    fn renumber(&mut self, new: impl Fn(usize) -> usize) {
        let jumps = self.entries.iter_mut().filter_map(|entry| entry.jump.as_mut());
        for number in jumps.chain(&mut self.begins).chain(&mut self.ends) {
            *number = new(*number);
        }
    }
}

impl Entry {
    /// Where its target begins.
    fn target(&self, family: Family) -> io::Result<usize> {
        let target = usize::from(u16_at(&self.bytes, family.layout().target_offset)?);
        match target >= family.layout().size && target + HEADER <= self.bytes.len() {
            true => Ok(target),
            false => Err(unreadable()),
        }
    }

    /// True for the begin of the chain of this name, or of any.
    fn begins(&self, family: Family, chain: Option<&str>) -> bool {
        self.target(family).is_ok_and(|target| {
            names(&self.bytes, target + entry::NAME, ERROR)
                && chain.is_none_or(|chain| names(&self.bytes, target + HEADER, chain))
        })
    }
}

#[cfg(test)]
mod tests;
