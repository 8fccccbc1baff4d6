//! A model's parameters on a device with the state of an optimiser, from the config of tallow-optim.

use tallow_cuda::op::muon;
use tallow_cuda::op::optimizer::{Rates, Rule};
use tallow_cuda::op::tensors::{Parameter, Table};
use tallow_cuda::{Array, Bf16, Device, Result};
use tallow_optim::optimizer::{AdjustLr, OptimConfig, OptimMethod, Param};

use crate::support::{get, put, room};

/// Some parameters that one rule updates.
pub struct Group<M> {
    rule: Rule,
    /// Newton-Schulz iterations, for Muon's matrices.
    iterations: Option<usize>,
    /// Whether a schedule may set the momentum.
    scheduled: bool,
    members: Vec<Member<M>>,
}

struct Member<M> {
    /// Its place among the model's parameters.
    place: usize,
    param: Param,
    values: Array<M, f32>,
    gradient: Array<M, f32>,
    state: [Option<Array<M, f32>>; 4],
    low: Array<M, Bf16>,
    adjust: f64,
}

/// The rule of a config, and the first value of each state that it has.
fn rule(method: &OptimMethod) -> (Rule, [Option<f32>; 4]) {
    let zero = Some(0.0);
    let when = |used: bool| used.then_some(0.0);
    match method {
        OptimMethod::Sgd(c) => {
            let rule = Rule::Sgd { momentum: c.momentum, nesterov: c.nesterov, decoupled: c.decoupled };
            (rule, [when(c.momentum > 0.0), None, None, None])
        }
        OptimMethod::Adam(c) => (Rule::Adam { betas: c.betas, eps: c.eps, decoupled: false }, [zero, zero, None, None]),
        OptimMethod::AdamW(c) => (Rule::Adam { betas: c.betas, eps: c.eps, decoupled: true }, [zero, zero, None, None]),
        OptimMethod::NAdam(c) => {
            let (betas, eps, momentum_decay, decoupled) = (c.betas, c.eps, c.momentum_decay, c.decoupled);
            (Rule::NAdam { betas, eps, momentum_decay, decoupled }, [zero, zero, None, None])
        }
        OptimMethod::RAdam(c) => {
            (Rule::RAdam { betas: c.betas, eps: c.eps, decoupled: c.decoupled }, [zero, zero, None, None])
        }
        OptimMethod::RmsProp(c) => {
            let rule = Rule::RmsProp { alpha: c.alpha, eps: c.eps, momentum: c.momentum };
            (rule, [zero, when(c.momentum > 0.0), when(c.centered), None])
        }
        OptimMethod::RmsPropTf(c) => {
            let (alpha, eps, momentum) = (c.alpha, c.eps, c.momentum);
            let (lr_in_momentum, decoupled) = (c.lr_in_momentum, c.decoupled);
            let rule = Rule::RmsPropTf { alpha, eps, momentum, lr_in_momentum, decoupled };
            (rule, [Some(1.0), when(c.momentum > 0.0), when(c.centered), None])
        }
        OptimMethod::Adagrad(c) => {
            let start = Some(c.initial_accumulator_value as f32);
            (Rule::Adagrad { lr_decay: c.lr_decay, eps: c.eps }, [start, None, None, None])
        }
        OptimMethod::Lamb(c) => {
            let (betas, eps, max_grad_norm) = (c.betas, c.eps, c.max_grad_norm);
            let (trust_clip, always_adapt) = (c.trust_clip, c.always_adapt);
            (Rule::Lamb { betas, eps, max_grad_norm, trust_clip, always_adapt }, [zero, zero, zero, None])
        }
        OptimMethod::Lars(c) => {
            let (momentum, nesterov, trust_coeff, eps) = (c.momentum, c.nesterov, c.trust_coeff, c.eps);
            let (trust_clip, always_adapt) = (c.trust_clip, c.always_adapt);
            let rule = Rule::Lars { momentum, nesterov, trust_coeff, eps, trust_clip, always_adapt };
            (rule, [when(c.momentum > 0.0), None, None, None])
        }
        OptimMethod::Lion(c) => (Rule::Lion { betas: c.betas }, [zero, None, None, None]),
        OptimMethod::Adan(c) => {
            (Rule::Adan { betas: c.betas, eps: c.eps, no_prox: c.no_prox }, [zero, zero, zero, zero])
        }
        OptimMethod::Muon(c) => (Rule::Muon { momentum: c.momentum, nesterov: c.nesterov }, [zero, zero, zero, None]),
    }
}

/// The parameters in groups: one, or Muon's two.
pub fn groups<D: Device>(device: &D, config: &OptimConfig, params: Vec<Param>) -> Result<Vec<Group<D::Memory>>> {
    let (own, states) = rule(&config.method);
    let muon = match &config.method {
        OptimMethod::Muon(config) => Some(config),
        _ => None,
    };
    let mut first = Group { rule: own, iterations: muon.map(|c| c.ns_steps), scheduled: true, members: Vec::new() };
    let mut rest = muon.map(|config| {
        let rule = Rule::Adam { betas: config.betas, eps: config.eps, decoupled: true };
        Group { rule, iterations: None, scheduled: false, members: Vec::new() }
    });
    for (place, mut param) in params.into_iter().enumerate() {
        let values: Vec<f32> = param.var.flatten_all().and_then(|t| t.to_vec1()).unwrap();
        let len = values.len();
        let is_matrix = param.var.rank() >= 2 && !param.is_classifier;
        let rows = if param.var.rank() >= 2 { param.var.dim(0).unwrap() } else { 1 };
        let mut adjust = 1.0;
        let (states, group) = match (&mut rest, muon) {
            (Some(rest), Some(config)) if !is_matrix => {
                param.lr_scale *= config.fallback_lr_scale;
                ([Some(0.0), Some(0.0), None, None], rest)
            }
            (_, Some(config)) => {
                let (rows, columns) = (rows as f64, (len / rows) as f64);
                adjust = match config.adjust_lr {
                    AdjustLr::Original => (rows / columns).max(1.0).sqrt(),
                    AdjustLr::MatchRmsAdamw => 0.2 * rows.max(columns).sqrt(),
                };
                (states, &mut first)
            }
            _ => (states, &mut first),
        };
        let mut state = [const { None }; 4];
        for (state, start) in state.iter_mut().zip(states) {
            *state = start.map(|start| put::<D, f32>(device, &vec![start; len])).transpose()?;
        }
        group.members.push(Member {
            place,
            param,
            values: put::<D, f32>(device, &values)?,
            gradient: room::<D, f32>(device, len)?,
            state,
            low: room::<D, Bf16>(device, len)?,
            adjust,
        });
    }
    Ok(std::iter::once(first).chain(rest).collect())
}

/// One step; `gradient(place, values)` makes each parameter's gradient of its values.
pub fn step<D: Device>(
    device: &D,
    groups: &mut [Group<D::Memory>],
    t: u64,
    rates: Rates,
    gradient: impl Fn(usize, &[f32]) -> Vec<f32>,
) -> Result<()> {
    for group in groups {
        for member in &mut group.members {
            member.gradient = put::<D, f32>(device, &gradient(member.place, &get(device, &member.values)?))?;
        }
        let parameters: Vec<Parameter> = group
            .members
            .iter_mut()
            .map(|member| Parameter {
                gradient: Some(member.gradient.view_mut()),
                state: member.state.each_mut().map(|state| state.as_mut().map(Array::view_mut)),
                low: Some(member.low.view_mut()),
                lr_scale: member.param.lr_scale,
                weight_decay: member.param.weight_decay,
                rows: if member.param.var.rank() >= 2 { member.param.var.dim(0).unwrap() } else { 1 },
                adjust: member.adjust,
                ..Parameter::new(member.values.view_mut())
            })
            .collect();
        // SAFETY: the members outlive the table.
        let table = unsafe { Table::new(device, &parameters)? };
        let momentum = rates.momentum.filter(|_| group.scheduled);
        let numbers = Array::upload(device, &group.rule.numbers(t, Rates { momentum, ..rates }))?;
        match group.iterations {
            Some(iterations) => muon::step(device, &table, numbers.view(), iterations)?,
            None => group.rule.step(device, &table, numbers.view())?,
        }
        for member in &group.members {
            let values = get(device, &member.values)?;
            let rounded: Vec<f32> = values.iter().map(|p| Bf16::from_f32(*p).to_f32()).collect();
            assert_eq!(get(device, &member.low)?, rounded, "the bf16 copy");
        }
    }
    Ok(())
}

/// The values of all parameters, in the model's order.
pub fn values<D: Device>(device: &D, groups: &[Group<D::Memory>]) -> Result<Vec<Vec<f32>>> {
    let mut found = Vec::new();
    for member in groups.iter().flat_map(|group| &group.members) {
        found.push((member.place, get(device, &member.values)?));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, values)| values).collect())
}
