//! Names that nobody has yet, and secrets that nobody guesses.

use aws_lc_rs::rand;

use crate::fault::{Fault, Result};

/// So many random bytes, in hexadecimal.
pub fn hexadecimal(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    rand::fill(&mut random).map_err(|_| Fault::new("random", "The system gives no random numbers."))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
