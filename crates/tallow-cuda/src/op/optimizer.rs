//! The optimisers: a step of all parameters in one launch, or in a few where norms are needed.
//!
//! What changes from step to step is a row of numbers ([`Rule::numbers`]) that lies on the device: a recorded step reads
//! it afresh.

use super::norms::{Of, each_chunk, squares, total};
use super::tensors::Table;
use crate::device::{Device, Memory};
use crate::error::{Result, check, require};
use crate::launch::arguments;
use crate::memory::View;

const OP: &str = "optimizer";
/// Numbers of a step.
pub const NUMBERS: usize = 16;

/// An optimiser with its options, named as in the `optim` table of a config. The sources are those of the CPU's.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Rule {
    /// State 0: the momentum, absent if that is 0.
    Sgd { momentum: f64, nesterov: bool, decoupled: bool },
    /// Adam, and AdamW if decoupled. States 0 and 1: mean and square.
    Adam { betas: (f64, f64), eps: f64, decoupled: bool },
    /// States as Adam's.
    NAdam { betas: (f64, f64), eps: f64, momentum_decay: f64, decoupled: bool },
    /// States as Adam's.
    RAdam { betas: (f64, f64), eps: f64, decoupled: bool },
    /// States 0, 1 and 2: square, momentum (absent if 0), mean (if centered).
    RmsProp { alpha: f64, eps: f64, momentum: f64 },
    /// States as RMSprop's; the square begins at 1.
    RmsPropTf { alpha: f64, eps: f64, momentum: f64, lr_in_momentum: bool, decoupled: bool },
    /// State 0: the sum of squares.
    Adagrad { lr_decay: f64, eps: f64 },
    /// States 0 and 1 as Adam's; state 2 is scratch.
    Lamb { betas: (f64, f64), eps: f64, max_grad_norm: f64, trust_clip: bool, always_adapt: bool },
    /// State 0: the momentum, absent if that is 0.
    Lars { momentum: f64, nesterov: bool, trust_coeff: f64, eps: f64, trust_clip: bool, always_adapt: bool },
    /// State 0: the momentum.
    Lion { betas: (f64, f64) },
    /// States 0 to 3: mean, difference, square, the negative of the last gradient.
    Adan { betas: (f64, f64, f64), eps: f64, no_prox: bool },
    /// For matrices: see [`super::muon`]. State 0: the momentum; states 1 and 2 are scratch.
    Muon { momentum: f64, nesterov: bool },
}

/// The rates of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub lr: f64,
    /// The factor of the weight decay.
    pub decay_scale: f64,
    /// The momentum (β₁), if a schedule sets it.
    pub momentum: Option<f64>,
}

impl Rule {
    /// The numbers of step `t`, counted from 1.
    pub fn numbers(&self, t: u64, rates: Rates) -> [f64; NUMBERS] {
        let own = |value: f64| rates.momentum.unwrap_or(value);
        let flag = |value: bool| f64::from(u8::from(value));
        let step = t as f64;
        let rest = |beta: f64| 1.0 - beta.powf(step);
        let more: Vec<f64> = match *self {
            Self::Sgd { momentum, nesterov, decoupled } => vec![own(momentum), flag(nesterov), flag(decoupled)],
            Self::Adam { betas: (beta1, beta2), eps, decoupled } => {
                let beta1 = own(beta1);
                vec![beta1, beta2, eps, flag(decoupled), rest(beta1), rest(beta2)]
            }
            Self::NAdam { betas: (beta1, beta2), eps, momentum_decay, decoupled } => {
                let beta1 = own(beta1);
                let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * momentum_decay));
                let product: f64 = (1..=t).map(mu).product();
                vec![beta1, beta2, eps, flag(decoupled), mu(t), mu(t + 1), product, rest(beta2)]
            }
            Self::RAdam { betas: (beta1, beta2), eps, decoupled } => {
                let beta1 = own(beta1);
                let most = 2.0 / (1.0 - beta2) - 1.0;
                let rho = most - 2.0 * step * beta2.powf(step) / rest(beta2);
                let rectified = if rho > 5.0 {
                    ((rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho)).sqrt() * rest(beta2).sqrt()
                } else {
                    0.0
                };
                vec![beta1, beta2, eps, flag(decoupled), rest(beta1), rectified]
            }
            Self::RmsProp { alpha, eps, momentum } => vec![alpha, eps, own(momentum)],
            Self::RmsPropTf { alpha, eps, momentum, lr_in_momentum, decoupled } => {
                vec![alpha, eps, own(momentum), flag(lr_in_momentum), flag(decoupled)]
            }
            Self::Adagrad { lr_decay, eps } => vec![eps, 1.0 + (step - 1.0) * lr_decay],
            Self::Lamb { betas: (beta1, beta2), eps, max_grad_norm, trust_clip, always_adapt } => {
                let beta1 = own(beta1);
                let flags = [flag(trust_clip), flag(always_adapt)];
                vec![beta1, beta2, eps, 0.0, rest(beta1), rest(beta2), max_grad_norm, flags[0], flags[1]]
            }
            Self::Lars { momentum, nesterov, trust_coeff, eps, trust_clip, always_adapt } => {
                vec![own(momentum), flag(nesterov), trust_coeff, eps, flag(trust_clip), flag(always_adapt)]
            }
            Self::Lion { betas: (beta1, beta2) } => vec![own(beta1), beta2],
            Self::Adan { betas: (beta1, beta2, beta3), eps, no_prox } => {
                let beta1 = own(beta1);
                let corrections = [rest(beta1), rest(beta2), rest(beta3)];
                let [first, second, third] = corrections;
                vec![beta1, beta2, beta3, eps, first, second, third, flag(no_prox), flag(t == 1)]
            }
            Self::Muon { momentum, nesterov } => vec![own(momentum), flag(nesterov)],
        };
        let mut numbers = [0.0; NUMBERS];
        (numbers[0], numbers[1]) = (rates.lr, rates.decay_scale);
        numbers[2..2 + more.len()].copy_from_slice(&more);
        numbers
    }

    /// The states that the kernel reads without asking whether they exist.
    fn needs(&self) -> &'static [usize] {
        match self {
            Self::Sgd { .. } | Self::Lars { .. } => &[],
            Self::Adam { .. } | Self::NAdam { .. } | Self::RAdam { .. } => &[0, 1],
            Self::RmsProp { .. } | Self::RmsPropTf { .. } | Self::Adagrad { .. } | Self::Lion { .. } => &[0],
            Self::Lamb { .. } | Self::Muon { .. } => &[0, 1, 2],
            Self::Adan { .. } => &[0, 1, 2, 3],
        }
    }

    /// Fails unless all tensors have the states that the rule needs.
    pub(super) fn check<M: Memory>(&self, table: &Table<M>, numbers: View<f64>) -> Result<()> {
        check(OP, "the step's numbers", NUMBERS, numbers.len())?;
        let lacks = |state: &&usize| table.entries.iter().any(|entry| entry.len > 0 && entry.state[**state] == 0);
        let lacking = self.needs().iter().find(lacks);
        require(OP, lacking.is_none(), "every state of this optimiser", format!("none at {lacking:?}"))
    }

    /// Changes all parameters by their gradients. Muon's matrices have a function of their own.
    ///
    /// # Errors
    /// A tensor without a state that the rule needs; a failed launch.
    pub fn step<D: Device>(&self, device: &D, table: &Table<D::Memory>, numbers: View<f64>) -> Result<()> {
        self.check(table, numbers)?;
        let kernel = match self {
            Self::Sgd { .. } => "sgd",
            Self::Adam { .. } => "adam",
            Self::NAdam { .. } => "nadam",
            Self::RAdam { .. } => "radam",
            Self::RmsProp { .. } => "rmsprop",
            Self::RmsPropTf { .. } => "rmsprop_tf",
            Self::Adagrad { .. } => "adagrad",
            Self::Lion { .. } => "lion",
            Self::Adan { .. } => "adan",
            Self::Lars { .. } => {
                let (weights, slopes) = (squares(device, table, Of::Values)?, squares(device, table, Of::Gradients)?);
                let more = arguments![numbers, weights.view(), slopes.view()];
                // SAFETY: the table's arrays exist by its contract.
                return unsafe { each_chunk(device, OP, "lars", table, more) };
            }
            Self::Lamb { .. } => return lamb(device, table, numbers),
            Self::Muon { .. } => {
                return require(OP, false, "muon::step for Muon's matrices", "Rule::step");
            }
        };
        // SAFETY: the table's arrays exist by its contract, and the states were checked.
        unsafe { each_chunk(device, OP, kernel, table, arguments![numbers]) }
    }
}

fn lamb<D: Device>(device: &D, table: &Table<D::Memory>, numbers: View<f64>) -> Result<()> {
    let slopes = squares(device, table, Of::Gradients)?;
    let norm = total(device, slopes.view(), f64::INFINITY)?;
    let weights = squares(device, table, Of::Values)?;
    // SAFETY: the table's arrays exist by its contract, and the states were checked.
    unsafe { each_chunk(device, OP, "lamb_direction", table, arguments![numbers, norm.view()])? };
    let directions = squares(device, table, Of::State(2))?;
    let more = arguments![numbers, weights.view(), directions.view()];
    // SAFETY: as above.
    unsafe { each_chunk(device, OP, "lamb", table, more) }
}
