//! The graph that a traced forward pass records.

use candle_core::{Device, Tensor};
use tallow_nn::graph::{Dim, Op, Value, trace};
use tallow_nn::layers::Linear;
use tallow_nn::op::softmax;
use tallow_nn::{Error, Init, ParamStore, Result, op};

#[test]
fn what_depends_on_no_image_is_a_constant() -> Result<()> {
    let table = Tensor::new(&[[0.5f32, 1.0], [2.0, -1.0]], &Device::Cpu)?;
    let graph = trace((1, 2, 2), |images| {
        // Ours, of constants alone; Candle's, of constants alone; one whose result nobody needs.
        let weights = softmax(&table)?.exp()?;
        softmax(&op::reshape(images, ((), 4))?)?;
        let rows = op::reshape(images, ((), 2))?;
        op::add(&rows, &weights.narrow(0, 0, 1)?)
    })?;
    let ops: Vec<&Op> = graph.nodes.iter().map(|node| &node.op).collect();
    assert!(matches!(ops[..], [Op::Reshape, Op::Add]), "{ops:?}");
    assert_eq!(graph.nodes[0].shape, [Dim::PerImage(2), Dim::Fixed(2)]);
    assert_eq!(graph.nodes[1].inputs, [Value::Node(0), Value::Constant(0)]);
    assert_eq!((graph.output, graph.constants[0].dims()), (Value::Node(1), &[1, 2][..]));
    Ok(())
}

#[test]
fn parameters_are_known_by_their_tensors() -> Result<()> {
    let (linear, store) = ParamStore::build(0, &Device::Cpu, |b| Linear::new(4, 3, true, Init::ONES, &b.pp("fc")))?;
    let graph = trace((1, 2, 2), |images| linear.forward(&op::reshape(images, ((), 4))?))?;
    let ids: Vec<_> = store.parameters().map(|(_, var)| var.as_tensor().id()).collect();
    assert_eq!(graph.constants.iter().map(Tensor::id).collect::<Vec<_>>(), ids);
    Ok(())
}

#[test]
fn an_operation_without_a_trace_is_named_by_its_user() {
    let result = trace((1, 2, 2), |images| softmax(&images.sqr()?));
    let Err(Error::NotTraced { user, shape }) = result else { panic!("{result:?}") };
    assert_eq!((user.as_str(), &shape[..]), ("Softmax", &[1, 1, 2, 2][..]));
    let result = trace((1, 2, 2), |images| Ok(images.sqr()?));
    assert!(result.is_err_and(|error| error.to_string().contains("the result takes a value of shape [1, 1, 2, 2]")));
}

#[test]
fn nothing_is_traced_after_a_failure() -> Result<()> {
    let result = trace((1, 2, 2), |images| softmax(&op::reshape(images, (7, 7))?));
    assert!(result.is_err());
    let graph = trace((1, 2, 2), softmax)?;
    assert_eq!(graph.nodes.len(), 1);
    Ok(())
}
