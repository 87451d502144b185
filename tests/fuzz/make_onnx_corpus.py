#!/usr/bin/python3
"""Writes the seeds of corpus/onnx: tiny models that use every part of the format, and hostile ones.

Needs Debian's python3-onnx. Usage: make_onnx_corpus.py FOLDER
"""
import pathlib
import sys

import numpy as np
from onnx import FunctionProto, ModelProto, TensorProto, helper, numpy_helper

F = TensorProto.FLOAT


def info(name, shape=(1, 4), kind=F):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs=None, outputs=None, initializers=(), opset=17, functions=(), domains=()):
    graph = helper.make_graph(nodes, "g", inputs if inputs is not None else [info("x")], outputs or [info("y")],
                              initializer=list(initializers))
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions), producer_name="seed")
    made.metadata_props.add(key="names", value="{0: 'a'}")
    return made.SerializeToString()


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def array(name, values, kind=np.float32):
    return numpy_helper.from_array(np.array(values, kind), name)


def operators():
    """One node each, with the attributes and inputs of some version."""
    image = [info("x", (1, 4, 6, 6))]
    weights = [array("w", np.ones((4, 4, 3, 3))), array("b", np.zeros(4))]
    four = [array(n, np.ones(4)) for n in ("s", "o", "m", "v")]
    yield "conv", model([node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1], kernel_shape=[3, 3])], image,
                        initializers=weights)
    yield "conv_transpose", model([node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])], image,
                                  initializers=weights)
    yield "batch_norm", model([node("BatchNormalization", ["x", "s", "o", "m", "v"], ["y"])], image, initializers=four)
    yield "pool", model([node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
                         node("AveragePool", ["a"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_UPPER")], image)
    yield "clip6", model([node("Clip", ["x"], ["y"], min=0.0, max=6.0)], opset=6)
    yield "clip", model([node("Clip", ["x", "", "h"], ["y"])], initializers=[array("h", 6)])
    yield "slice9", model([node("Slice", ["x"], ["y"], starts=[0], ends=[2], axes=[1])], opset=9)
    yield "slice", model([node("Slice", ["x", "s", "e", "a", "t"], ["y"])], initializers=[
        array("s", [-1], np.int64), array("e", [-9], np.int64), array("a", [1], np.int64), array("t", [-2], np.int64)])
    yield "pad10", model([node("Pad", ["x"], ["y"], pads=[0, 1, 0, 2], value=1.5)], opset=10)
    yield "pad", model([node("Pad", ["x", "p"], ["y"], mode="reflect")], initializers=[
        array("p", [0, 1, 0, 2], np.int64)])
    yield "split11", model([node("Split", ["x"], ["y", "z"], axis=1, split=[1, 3])], opset=11)
    yield "split18", model([node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2)], opset=18)
    yield "topk9", model([node("TopK", ["x"], ["y", "i"], k=2)], opset=9)
    yield "upsample7", model([node("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 2.0, 2.0])], image, opset=7)
    yield "resize", model([node("Resize", ["x", "", "", "n"], ["y"], mode="linear")], image, initializers=[
        array("n", [1, 4, 3, 9], np.int64)])
    yield "softmax11", model([node("Softmax", ["x"], ["y"], axis=1)], image, opset=11)
    yield "reshape", model([node("Shape", ["x"], ["a"]), node("Gather", ["a", "i"], ["b"], axis=0),
                            node("Concat", ["b", "n"], ["c"], axis=0), node("Reshape", ["x", "c"], ["y"])],
                           initializers=[array("i", [0], np.int64), array("n", [-1], np.int64)])
    yield "transpose", model([node("Transpose", ["x"], ["a"], perm=[1, 0]), node("Tile", ["a", "r"], ["y"])],
                             initializers=[array("r", [2, 3], np.int64)])
    yield "reduce", model([node("ReduceMean", ["x"], ["a"], axes=[-1], keepdims=0), node("ArgMax", ["x"], ["i"], axis=1),
                           node("Unsqueeze", ["a", "n"], ["y"])], initializers=[array("n", [0, 1], np.int64)])
    yield "matmul", model([node("Gemm", ["x", "w"], ["a"], transB=1), node("MatMul", ["a", "w"], ["b"]),
                           node("Einsum", ["b", "w"], ["y"], equation="ij,kj->ik")], initializers=[
                               array("w", np.ones((4, 4)))])
    yield "scatter", model([node("ScatterElements", ["x", "i", "u"], ["a"], axis=1),
                            node("GatherElements", ["a", "i"], ["b"], axis=1), node("Trilu", ["b"], ["c"]),
                            node("Expand", ["c", "e"], ["y"])], initializers=[
                                array("i", [[0, -1]], np.int64), array("u", [[1, 2]]), array("e", [2, 1, 1], np.int64)])
    yield "select", model([node("Greater", ["x", "z"], ["c"]), node("Where", ["c", "x", "z"], ["a"]),
                           node("NonZero", ["c"], ["n"]), node("CumSum", ["a", "k"], ["b"]),
                           node("OneHot", ["k", "d", "v"], ["h"]), node("Range", ["k", "d", "k2"], ["r"]),
                           node("Cast", ["b"], ["y"], to=TensorProto.FLOAT16)], initializers=[
                               array("z", [0.5]), array("k", 1, np.int64), array("k2", 1, np.int64),
                               array("d", 3, np.int64), array("v", [0, 1])])
    yield "nms", model([node("NonMaxSuppression", ["b", "s", "k", "t", "t"], ["y"])], [
        info("b", (1, 3, 4)), info("s", (1, 1, 3))], initializers=[array("k", [2], np.int64), array("t", [0.5])])
    yield "lstm", model([node("LSTM", ["x", "w", "r"], ["y", "h", "c"], hidden_size=2,
                              activations=["Sigmoid", "Tanh", "Tanh"])], [info("x", (3, 1, 4))], initializers=[
                                  array("w", np.ones((1, 8, 4))), array("r", np.ones((1, 8, 2)))])
    yield "quantised", model([node("QuantizeLinear", ["x", "s", "z"], ["a"]), node("DequantizeLinear", ["a", "s", "z"], ["b"]),
                              node("DynamicQuantizeLinear", ["b"], ["y", "t", "u"])], initializers=[
                                  array("s", 0.1), array("z", 3, np.uint8)])
    yield "microsoft", model([node("QuantizeLinear", ["x", "s", "z"], ["a"]),
                              node("QLinearAdd", ["a", "s", "z", "a", "s", "z", "s", "z"], ["b"], domain="com.microsoft"),
                              node("DequantizeLinear", ["b", "s", "z"], ["c"]),
                              node("FusedGemm", ["c", "w"], ["y"], domain="com.microsoft", activation="Relu")],
                             initializers=[array("s", 0.1), array("z", 3, np.uint8), array("w", np.ones((4, 4)))],
                             domains=["com.microsoft"])
    yield "group_norm", model([node("GroupNormalization", ["x", "s", "s"], ["y"], num_groups=2)], image, opset=18,
                              initializers=[array("s", [1, 2])])
    yield "attention", model([node("Greater", ["x", "m"], ["mask"]),
                              node("Attention", ["x", "x", "x", "mask"], ["y"], q_num_heads=2, kv_num_heads=1, softcap=2.0)],
                             [info("x", (1, 4, 4))], opset=23, initializers=[array("m", np.zeros((4, 4)))])
    yield "spectrum", model([node("DFT", ["x", "n", "a"], ["y"], onesided=1)], [info("x", (1, 8, 1))], opset=20,
                            initializers=[array("n", 6, np.int64), array("a", 1, np.int64)])
    yield "dropout", model([node("Dropout", ["x"], ["y", "m"])])
    yield "constants", model([node("Constant", [], ["a"], value_floats=[1.0, 2.0, 3.0, 4.0]),
                              node("ConstantOfShape", ["n"], ["b"], value=array("v", [7])),
                              node("Sum", ["x", "a", "b"], ["y"])], initializers=[array("n", [1, 4], np.int64)])
    yield "large", model([node("Constant", [], ["a"], value=array("v", np.ones(1100))),
                          node("Sum", ["x", "a", "w"], ["y"])], [info("x", (1100,))],
                         initializers=[array("w", np.ones(1100))])


def control():
    branch = lambda name, op: helper.make_graph([node(op, ["x"], ["r"])], name, [], [info("r")])
    yield "if", model([node("If", ["c"], ["y"], then_branch=branch("t", "Relu"), else_branch=branch("e", "Neg"))],
                      [info("x"), info("c", (), TensorProto.BOOL)])
    body = helper.make_graph([node("Add", ["s", "x"], ["t"]), node("Identity", ["go"], ["on"]), node("Abs", ["t"], ["z"])],
                             "body", [info("i", (), TensorProto.INT64), info("go", (), TensorProto.BOOL), info("s")],
                             [info("on", (), TensorProto.BOOL), info("t"), info("z")])
    yield "loop", model([node("Loop", ["n", "", "x"], ["y", "z"], body=body)], initializers=[array("n", 2, np.int64)])
    body = helper.make_graph([node("Add", ["s", "e"], ["t"]), node("Mul", ["t", "x"], ["z"])], "body",
                             [info("s", (4,)), info("e", (4,))], [info("t", (4,)), info("z", (1, 4))])
    yield "scan", model([node("Scan", ["f", "w"], ["y", "z"], body=body, num_scan_inputs=1, scan_input_directions=[1],
                              scan_output_directions=[1], scan_input_axes=[-2])],
                        initializers=[array("f", np.ones(4)), array("w", np.ones((3, 4)))])
    deep = branch("deep", "Relu")
    for i in range(20):
        deep = helper.make_graph([node("If", ["c"], ["r"], then_branch=deep, else_branch=branch("e", "Neg"))],
                                 f"d{i}", [], [info("r")])
    yield "deep", model([node("If", ["c"], ["y"], then_branch=deep, else_branch=branch("e", "Neg"))],
                        [info("x"), info("c", (), TensorProto.BOOL)])


def function(name, nodes, attributes=()):
    return helper.make_function("f", name, ["a"], ["b"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)],
                                list(attributes))


def functions():
    leaky = node("LeakyRelu", ["a"], ["b"])
    reference = leaky.attribute.add(name="alpha", ref_attr_name="slope")
    reference.type = 1
    call = node("F", ["x"], ["y"], domain="f", slope=0.1)
    yield "function", model([call], functions=[function("F", [leaky], ["slope"])], domains=["f"])
    yield "recursive", model([call], functions=[function("F", [node("F", ["a"], ["b"], domain="f")])], domains=["f"])
    bomb = [function("F", [node("Relu", ["a"], ["b"])])]
    for i in range(10):
        calls = [node("F" if i == 0 else f"F{i - 1}", [f"v{j}" if j else "a"], [f"v{j + 1}" if j < 7 else "b"], domain="f")
                 for j in range(8)]
        bomb.append(function(f"F{i}", calls))
    yield "function_bomb", model([node("F9", ["x"], ["y"], domain="f")], functions=bomb, domains=["f"])


def tensors():
    for kind in (np.float16, np.float64, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.uint64, bool):
        yield f"raw_{np.dtype(kind).name}", model([], [], [info("y", (2,))], [array("y", [1, 0], kind)])
    typed = helper.make_tensor("y", TensorProto.FLOAT16, [2], [1.0, 2.0])
    yield "typed_float16", model([], [], [info("y", (2,))], [typed])
    huge = TensorProto(name="y", data_type=F, dims=[1 << 31, 1 << 31, 4], raw_data=b"1234")
    yield "huge_dims", model([], [], [info("y")], [huge])
    negative = TensorProto(name="y", data_type=F, dims=[-1, -4], raw_data=b"1234")
    yield "negative_dims", model([], [], [info("y")], [negative])
    outside = TensorProto(name="y", data_type=F, dims=[1], data_location=1)
    outside.external_data.add(key="location", value="../../etc/passwd")
    yield "external", model([], [], [info("y")], [outside])
    yield "huge_input", model([node("Relu", ["x"], ["y"])], [info("x", (1 << 40, 1 << 40, 1 << 40))])
    yield "huge_fill", model([node("ConstantOfShape", ["n"], ["y"])], [], initializers=[
        array("n", [1 << 20, 1 << 20], np.int64)])
    yield "symbolic", model([node("Relu", ["x"], ["y"])], [info("x", ("n", None, 3))])


def bombs():
    """What would take minutes or gigabytes to fold."""
    def zeros(name, *shape):
        return node("ConstantOfShape", [name + "_shape"], [name]), array(name + "_shape", shape, np.int64)

    def folded(op, *operands, **attributes):
        made = [zeros(f"v{i}", *shape) for i, shape in enumerate(operands)]
        last = node(op, [f"v{i}" for i in range(len(made))], ["y"], **attributes)
        return model([n for n, _ in made] + [last], [], initializers=[shape for _, shape in made])

    yield "bomb_matmul", folded("MatMul", (2048, 4096), (4096, 2048))
    yield "bomb_conv", folded("Conv", (1, 128, 256, 256), (64, 128, 7, 7))
    yield "bomb_pool", folded("MaxPool", (1, 1, 2048, 2048), kernel_shape=[1024, 1024])
    yield "bomb_lstm", folded("LSTM", (2048, 1, 512), (1, 2048, 512), (1, 2048, 512), hidden_size=512)
    yield "bomb_einsum", folded("Einsum", (300, 300), (300, 300), equation="ab,cd->")
    grown, names = [node("ConstantOfShape", ["n"], ["g0"])], ["g0"]
    for i in range(200):
        names.append(f"g{i + 1}")
        grown += [node("Mul", [names[-2], "two"], [names[-1]])]
    yield "bomb_memory", model(grown + [node("Sum", names, ["y"])], [], initializers=[
        array("n", [1 << 22], np.int64), array("two", [2])])
    result, nodes = "r0", [node("Relu", ["s0"], ["r0"])]
    for i in range(6):
        body = helper.make_graph(nodes + [node("Concat", [result, result], [f"w{i}"], axis=0),
                                          node("Identity", [f"on{i}"], [f"go{i}"])], "body",
                                 [info(f"i{i}", (), TensorProto.INT64), info(f"on{i}", (), TensorProto.BOOL), info(f"s{i}")],
                                 [info(f"go{i}", (), TensorProto.BOOL), info(f"w{i}", (None, 4))])
        result = f"l{i}" if i < 5 else "y"
        nodes = [node("Loop", ["n", "", "first"], [result], body=body)]
    yield "bomb_loops", model(nodes, [], initializers=[array("n", 1 << 40, np.int64), array("first", np.ones((1, 4)))])


def faults():
    yield "empty_graph", ModelProto(ir_version=8).SerializeToString()
    yield "circle", model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])])
    yield "text", b"this is text"
    whole = dict(control())["loop"]
    for part in (1, 2, 3):
        yield f"truncated_{part}", whole[:len(whole) * part // 4]
    yield "nested_groups", b"\x3b" * 200
    yield "nested_graphs", bytes(_nested(60))


def _nested(depth):
    """graph { node { attribute { g { node … */ by hand, deeper than protobuf allows."""
    def varint(n):
        out = bytearray()
        while n > 127:
            out.append(n & 127 | 128)
            n >>= 7
        return bytes(out) + bytes([n])

    inner = b""
    for _ in range(depth):
        inner = b"\x32" + varint(len(inner)) + inner  # attribute.g
        inner = b"\x2a" + varint(len(inner)) + inner  # node.attribute
        inner = b"\x0a" + varint(len(inner)) + inner  # graph.node
    return b"\x3a" + varint(len(inner)) + inner  # model.graph


folder = pathlib.Path(sys.argv[1])
for family in (operators, control, functions, tensors, bombs, faults):
    for name, content in family():
        (folder / f"{name}.onnx").write_bytes(content)
