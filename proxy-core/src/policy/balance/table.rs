//! Which endpoint a hash stands for: Envoy's ring (ketama) and Maglev tables, with its rounding and its order.

use std::net::SocketAddr;

use super::xx64::xx64;

/// Envoy's bound of a ring.
const LARGEST_RING: f64 = 8.0 * 1024.0 * 1024.0;

/// Envoy's size of a Maglev table.
pub const MAGLEV_SIZE: u64 = 65_537;

/// Envoy's bound of a Maglev table: sizes are below it.
pub(crate) const MAGLEV_SIZES_END: u64 = 5_000_011;

/// As Envoy asks it of a table's size, for which 1 is a prime.
pub(crate) fn is_prime(number: u64) -> bool {
    if (1..4).contains(&number) {
        return true;
    }
    let divides = |factor: u64| number.is_multiple_of(factor);
    !divides(2) && !(3..=number.isqrt()).step_by(2).any(divides)
}

/// A table of endpoints, by their index.
#[derive(Debug, PartialEq)]
pub enum Table {
    /// Points of a ring in their order.
    Ring(Vec<(u64, u32)>),
    /// One endpoint for each remainder.
    Maglev(Vec<u32>),
}

/// An endpoint in a table: its index, its address, and its part of the whole.
pub type Share = (u32, SocketAddr, f64);

impl Table {
    /// A ring of at least `minimum` points. Envoy: `RingHashLoadBalancer::Ring`; the shares sum up to 1.
    pub fn ring(shares: &[Share], minimum: u64) -> Self {
        let least = shares.iter().map(|(_, _, share)| *share).fold(1.0, f64::min);
        // The lightest endpoint gets a whole number of points.
        let scale = ((least * minimum as f64).ceil() / least).min(LARGEST_RING);
        let mut points = Vec::with_capacity(scale.ceil() as usize);
        let mut target = 0.0;
        for (index, address, share) in shares {
            target += scale * share;
            let mut own = 0u64;
            while (points.len() as f64) < target {
                points.push((xx64(format!("{address}_{own}").as_bytes(), 0), *index));
                own += 1;
            }
        }
        points.sort_unstable_by_key(|(point, _)| *point);
        Self::Ring(points)
    }

    /// A table of `size` places, a prime. Envoy: `MaglevTable`, after listing 1 of the paper.
    pub fn maglev(shares: &[Share], size: u64) -> Self {
        let most = shares.iter().map(|(_, _, share)| *share).fold(0.0, f64::max);
        // In the order of their names, so that the same endpoints always make the same table.
        let mut named: Vec<(String, u32, f64)> = shares
            .iter()
            .map(|(index, address, share)| (address.to_string(), *index, *share))
            .collect();
        named.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut filling: Vec<Filling> = named
            .iter()
            .map(|(name, index, share)| Filling {
                index: *index,
                offset: xx64(name.as_bytes(), 0) % size,
                skip: xx64(name.as_bytes(), 1) % (size - 1) + 1,
                share: *share,
                target: 0.0,
                next: 0,
            })
            .collect();
        if filling.is_empty() {
            return Self::Maglev(Vec::new());
        }
        const FREE: u32 = u32::MAX;
        let mut table = vec![FREE; size as usize];
        let (mut filled, mut round) = (0, 1.0);
        while filled < size {
            for one in &mut filling {
                if filled == size {
                    break;
                }
                // The heaviest is asked in each round, the others less often.
                if round * one.share < one.target {
                    continue;
                }
                one.target += most;
                while table[one.place(size)] != FREE {
                    one.next += 1;
                }
                table[one.place(size)] = one.index;
                one.next += 1;
                filled += 1;
            }
            round += 1.0;
        }
        Self::Maglev(table)
    }

    /// The endpoint for a hash; each further attempt looks elsewhere. `None` where the table is empty.
    pub fn get(&self, hash: u64, attempt: u64) -> Option<usize> {
        let index = match self {
            Self::Ring(points) => {
                let after = points.partition_point(|(point, _)| *point < hash);
                let at = (after as u64 % points.len().max(1) as u64 + attempt) % points.len().max(1) as u64;
                points.get(at as usize)?.1
            }
            Self::Maglev(table) => {
                let moved = match attempt {
                    0 => hash,
                    _ => hash ^ (u64::MAX - attempt + 1),
                };
                *table.get((moved % table.len().max(1) as u64) as usize)?
            }
        };
        Some(index as usize)
    }
}

/// An endpoint that takes its places in a Maglev table.
struct Filling {
    index: u32,
    offset: u64,
    skip: u64,
    share: f64,
    target: f64,
    next: u64,
}

impl Filling {
    fn place(&self, size: u64) -> usize {
        ((self.offset + self.skip * self.next) % size) as usize
    }
}
