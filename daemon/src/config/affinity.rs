//! `worker_cpu_affinity`.

use super::error::Fault;

/// Processors that a mask may name (CPU_SETSIZE).
const LARGEST_MASK: usize = 1024;

/// On which processors workers run. Processors are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// One worker after the other on one of these each, from the first again after the last.
    Auto(Vec<usize>),
    /// A set of processors for each worker; the last one is for all that follow, too.
    Masks(Vec<Vec<usize>>),
}

impl Affinity {
    /// The processors of the worker with this number, counted from 0; none: wherever it likes.
    pub fn of(&self, worker: usize) -> &[usize] {
        match self {
            Self::Auto(processors) if processors.is_empty() => &[],
            Self::Auto(processors) => std::slice::from_ref(&processors[worker % processors.len()]),
            Self::Masks(masks) => masks.get(worker).or_else(|| masks.last()).map_or(&[], Vec::as_slice),
        }
    }

    /// Reads `auto [MASK]`, or masks; `processors` are online.
    pub(super) fn parse(arguments: &[String], processors: usize) -> Result<Self, Fault> {
        match arguments.split_first() {
            Some((auto, [])) if auto == "auto" => Ok(Self::Auto((0..processors).collect())),
            Some((auto, [mask])) if auto == "auto" => Ok(Self::Auto(read_mask(mask)?)),
            Some((auto, _)) if auto == "auto" => {
                let message = "invalid number of arguments in \"worker_cpu_affinity\" directive";
                Err(Fault::Message(message.into()))
            }
            _ => arguments.iter().map(|mask| read_mask(mask)).collect::<Result<_, _>>().map(Self::Masks),
        }
    }
}

/// The digits of a mask name processors from right to left; spaces are only for the eye.
fn read_mask(mask: &str) -> Result<Vec<usize>, Fault> {
    if mask.len() > LARGEST_MASK {
        let message = format!("\"worker_cpu_affinity\" supports up to {LARGEST_MASK} CPUs only");
        return Err(Fault::Message(message));
    }
    let mut processors = Vec::new();
    for (number, digit) in mask.chars().rev().filter(|digit| *digit != ' ').enumerate() {
        match digit {
            '0' => {}
            '1' => processors.push(number),
            other => {
                let message = format!("invalid character \"{other}\" in \"worker_cpu_affinity\"");
                return Err(Fault::Message(message));
            }
        }
    }
    Ok(processors)
}
