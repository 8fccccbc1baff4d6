//! BatchNorm over the columns of `[rows, c]`, fused with the residual and the activation after it.

use super::activation::Activation;
use super::run;
use crate::device::{Array, Device, Memory};
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, Slices, arguments, is_wide, width};
use crate::memory::{Storage, View, ViewMut};

const OP: &str = "batch_norm";

/// What the forward and the backward pass share: the statistics, and the coefficients made of them.
#[derive(Debug)]
pub struct Statistics<M> {
    /// The mean of each column.
    pub mean: Array<M, f32>,
    /// The biased variance of each column.
    pub var: Array<M, f32>,
    rstd: Array<M, f32>,
    scale: Array<M, f32>,
    /// Whether mean and variance depend on `x`.
    of_batch: bool,
}

/// The running statistics, which a training batch moves by `momentum`.
#[derive(Debug)]
pub struct Running<'a> {
    /// The running mean.
    pub mean: ViewMut<'a, f32>,
    /// The running unbiased variance.
    pub var: ViewMut<'a, f32>,
    /// The share of the batch.
    pub momentum: f32,
}

/// The statistics of a training batch `x [rows, c]`, `c` being the length of `gamma`. Moves the running statistics if
/// there are some.
///
/// # Errors
/// An empty batch; arrays of other lengths; a failed launch.
pub fn of_batch<D: Device, T: Storage>(
    device: &D,
    x: View<T>,
    gamma: View<f32>,
    eps: f32,
    running: Option<Running>,
) -> Result<Statistics<D::Memory>> {
    let c = gamma.len();
    require(
        OP,
        c > 0 && !x.is_empty() && x.len().is_multiple_of(c),
        "rows of c values",
        format!("{} values, c = {c}", x.len()),
    )?;
    if let Some(running) = &running {
        check(OP, "the running mean", c, running.mean.len())?;
        check(OP, "the running variance", c, running.var.len())?;
    }
    let rows = x.len() / c;
    let wide = is_wide::<T>(c, &[x.address()]);
    let slices = Slices::new(rows, c, width::<T>(wide), 1);
    let mut means = Array::<_, f32>::uninit(device, slices.count * c)?;
    let mut squares = Array::<_, f32>::uninit(device, slices.count * c)?;
    let (rows_int, c_int, slice_int) = (int(OP, "rows", rows)?, int(OP, "c", c)?, slices.rows as i32);
    let partial = arguments![x, &means.view_mut(), &squares.view_mut(), rows_int, c_int, slice_int, wide];
    let mut statistics = Statistics::uninit(device, c, true)?;
    let (running_mean, running_var, momentum) = match &running {
        Some(running) => (Some(&running.mean), Some(&running.var), running.momentum),
        None => (None, None, 0.0),
    };
    let finish = arguments![
        means.view(),
        squares.view(),
        slices.count as i32,
        rows_int,
        c_int,
        slice_int,
        gamma,
        eps,
        momentum,
        &statistics.mean.view_mut(),
        &statistics.var.view_mut(),
        &statistics.rstd.view_mut(),
        &statistics.scale.view_mut(),
        running_mean,
        running_var,
    ];
    // SAFETY: the arrays have the lengths that the kernels take from rows, c and slices.
    unsafe {
        run(device, OP, format!("batch_norm_moments{}", T::SUFFIX), slices.grid, partial)?;
        run(device, OP, "batch_norm_finish", Grid::finish(c, 1), finish)?;
    }
    Ok(statistics)
}

/// Given statistics: evaluation, or training around frozen ones. Copies them.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn given<D: Device>(
    device: &D,
    mean: View<f32>,
    var: View<f32>,
    gamma: View<f32>,
    eps: f32,
) -> Result<Statistics<D::Memory>> {
    let c = gamma.len();
    check(OP, "mean", c, mean.len())?;
    check(OP, "var", c, var.len())?;
    let mut statistics = Statistics::uninit(device, c, false)?;
    super::tokens::copy(device, mean, statistics.mean.view_mut())?;
    super::tokens::copy(device, var, statistics.var.view_mut())?;
    let arguments =
        arguments![var, gamma, eps, int(OP, "c", c)?, &statistics.rstd.view_mut(), &statistics.scale.view_mut(),];
    // SAFETY: the arrays have c values.
    unsafe { run(device, OP, "batch_norm_coefficients", Grid::flat(c), arguments)? };
    Ok(statistics)
}

/// The sizes of a pass, and whether it moves 16 bytes at a time.
struct Pass {
    rows: i32,
    c: i32,
    slices: Slices,
    wide: bool,
}

impl<M: Memory> Statistics<M> {
    fn uninit<D: Device<Memory = M>>(device: &D, c: usize, of_batch: bool) -> Result<Self> {
        let array = || Array::uninit(device, c);
        Ok(Self { mean: array()?, var: array()?, rstd: array()?, scale: array()?, of_batch })
    }

    fn pass<T: Storage>(&self, len: usize, beta: View<f32>, addresses: &[u64]) -> Result<Pass> {
        let c = self.mean.view().len();
        check(OP, "beta", c, beta.len())?;
        require(OP, len.is_multiple_of(c), "rows of c values", format!("{len} values, c = {c}"))?;
        let wide = is_wide::<T>(c, addresses) && beta.address().is_multiple_of(16);
        let slices = Slices::new(len / c, c, width::<T>(wide), 1);
        Ok(Pass { rows: int(OP, "rows", len / c)?, c: int(OP, "c", c)?, slices, wide })
    }

    /// `activation((x − mean) / √(var + eps) · gamma + beta + residual)`.
    ///
    /// # Errors
    /// Arrays of other lengths; a failed launch.
    pub fn apply<D: Device<Memory = M>, T: Storage>(
        &self,
        device: &D,
        x: View<T>,
        beta: View<f32>,
        residual: Option<View<T>>,
        y: ViewMut<T>,
        activation: Activation,
    ) -> Result<()> {
        check(OP, "y", x.len(), y.len())?;
        let added = residual.unwrap_or(x);
        check(OP, "the residual", x.len(), added.len())?;
        if x.is_empty() {
            return Ok(());
        }
        let Pass { rows, c, slices, wide } =
            self.pass::<T>(x.len(), beta, &[x.address(), y.address(), added.address()])?;
        let arguments = arguments![
            x,
            self.mean.view(),
            self.scale.view(),
            beta,
            residual,
            &y,
            rows,
            c,
            slices.rows as i32,
            wide,
            activation as i32,
        ];
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { run(device, OP, format!("batch_norm_apply{}", T::SUFFIX), slices.grid, arguments) }
    }

    /// The gradients, from the inputs of [`apply`](Self::apply) and that of its result.
    ///
    /// # Errors
    /// Arrays of other lengths; a failed launch.
    pub fn backward<D: Device<Memory = M>, T: Storage>(
        &self,
        device: &D,
        inputs: Inputs<'_, T>,
        gradients: Gradients<'_, T>,
    ) -> Result<()> {
        let Inputs { x, beta, residual, dy, activation } = inputs;
        let Gradients { x: dx, residual: dresidual, gamma: dgamma, beta: dbeta } = gradients;
        let c = self.mean.view().len();
        check(OP, "dy", x.len(), dy.len())?;
        check(OP, "the residual", x.len(), residual.map_or(x.len(), |r| r.len()))?;
        check(OP, "dx", x.len(), dx.as_ref().map_or(x.len(), ViewMut::len))?;
        check(OP, "the residual's gradient", x.len(), dresidual.as_ref().map_or(x.len(), ViewMut::len))?;
        check(OP, "dgamma", c, dgamma.len())?;
        check(OP, "dbeta", c, dbeta.len())?;
        require(OP, !x.is_empty(), "at least one row", "none")?;
        let address = |view: &Option<ViewMut<T>>| view.as_ref().map_or(0, ViewMut::address);
        let addresses = [
            x.address(),
            dy.address(),
            residual.map_or(0, |r| r.address()),
            address(&dx),
            address(&dresidual),
            dgamma.address(),
            dbeta.address(),
        ];
        let Pass { rows, c: c_int, slices, wide } = self.pass::<T>(x.len(), beta, &addresses)?;
        let mut plain = Array::<_, f32>::uninit(device, slices.count * c)?;
        let mut scaled = Array::<_, f32>::uninit(device, slices.count * c)?;
        let partial = arguments![
            x,
            dy,
            residual,
            self.mean.view(),
            self.rstd.view(),
            self.scale.view(),
            beta,
            &plain.view_mut(),
            &scaled.view_mut(),
            rows,
            c_int,
            slices.rows as i32,
            wide,
            activation as i32,
        ];
        let finish = arguments![plain.view(), scaled.view(), slices.count as i32, c_int, &dbeta, &dgamma];
        let factor = if self.of_batch { 1.0 / rows as f32 } else { 0.0 };
        let write = arguments![
            x,
            dy,
            residual,
            self.mean.view(),
            self.rstd.view(),
            self.scale.view(),
            beta,
            dbeta.as_view(),
            dgamma.as_view(),
            factor,
            dx.as_ref(),
            dresidual.as_ref(),
            rows,
            c_int,
            slices.rows as i32,
            wide,
            activation as i32,
        ];
        // SAFETY: the arrays have the lengths that were checked, or are null where the kernels allow it.
        unsafe {
            run(device, OP, format!("batch_norm_sums{}", T::SUFFIX), slices.grid, partial)?;
            run(device, OP, "batch_norm_sums_finish", Grid::finish(c, 1), finish)?;
            if dx.is_some() || dresidual.is_some() {
                run(device, OP, format!("batch_norm_dx{}", T::SUFFIX), slices.grid, write)?;
            }
        }
        Ok(())
    }
}

/// The inputs of a forward pass, and the gradient of its result.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    /// `[rows, c]`.
    pub x: View<'a, T>,
    /// `[c]`.
    pub beta: View<'a, f32>,
    /// `[rows, c]`, if there was one.
    pub residual: Option<View<'a, T>>,
    /// The gradient of the result.
    pub dy: View<'a, T>,
    /// The activation.
    pub activation: Activation,
}

/// The gradients to write.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// That of `x`, if it is needed.
    pub x: Option<ViewMut<'a, T>>,
    /// That of the residual, if it is needed.
    pub residual: Option<ViewMut<'a, T>>,
    /// That of `gamma`.
    pub gamma: ViewMut<'a, f32>,
    /// That of `beta`.
    pub beta: ViewMut<'a, f32>,
}
