#!/usr/bin/python3
"""Writes the seeds of corpus/openvino: tiny IRs that use every part of the format, and hostile ones.

A seed is the .xml file, a zero byte and the .bin file. Usage: make_openvino_corpus.py FOLDER
"""
import pathlib
import struct
import sys


class Net:
    """Layers by name; constants go into the weights."""

    def __init__(self, version=11):
        self.layers, self.edges, self.weights, self.version = [], [], b"", version

    def layer(self, kind, inputs=(), outputs=((1, 4),), opset=1, inside="", name="", **data):
        number = len(self.layers)
        attributes = " ".join(f'{key}="{value}"' for key, value in data.items())
        ports = "".join(f'<port id="{i}"/>' for i in range(len(inputs)))
        made = "".join(f'<port id="{len(inputs) + i}" precision="FP32">' + "".join(f"<dim>{d}</dim>" for d in shape) +
                       "</port>" for i, shape in enumerate(outputs))
        self.layers.append(f'<layer id="{number}" name="{name or kind.lower() + str(number)}" type="{kind}" '
                           f'version="opset{opset}"><data {attributes}/><input>{ports}</input><output>{made}</output>'
                           f"{inside}</layer>")
        for port, (source, source_port) in enumerate(inputs):
            self.edges.append(f'<edge from-layer="{source}" from-port="{source_port}" to-layer="{number}" '
                              f'to-port="{port}"/>')
        return number

    def parameter(self, *shape, kind="f32"):
        return self.layer("Parameter", (), (shape,), shape=",".join(map(str, shape)), element_type=kind), 0

    def constant(self, values, shape=None, kind="i64"):
        form = {"i64": "q", "f32": "f", "f16": "e", "i32": "i"}[kind]
        data = struct.pack(f"<{len(values)}{form}", *values)
        shape = (len(values),) if shape is None else shape
        number = self.layer("Const", (), (shape,), element_type=kind, shape=",".join(map(str, shape)),
                            offset=len(self.weights), size=len(data))
        self.weights += data
        return number, 0

    def op(self, kind, *inputs, shape=(1, 4), outputs=1, **data):
        return self.layer(kind, inputs, [shape] * outputs, **data), len(inputs)

    def result(self, value):
        return self.layer("Result", (value,), ())

    def body(self):
        return f'<layers>{"".join(self.layers)}</layers><edges>{"".join(self.edges)}</edges>'

    def seed(self):
        text = (f'<?xml version="1.0"?><net name="g" version="{self.version}">{self.body()}'
                '<rt_info><model_info><labels value="a b"/></model_info></rt_info></net>')
        return text.encode() + b"\0" + self.weights


def one(kind, *constants, shape=(1, 4), outputs=1, inputs=1, **data):
    """A net of one layer: parameters, then constants."""
    net = Net()
    values = [net.parameter(*shape) for _ in range(inputs)] + [net.constant(*c) for c in constants]
    net.result(net.op(kind, *values, shape=shape, outputs=outputs, **data))
    return net.seed()


image = (1, 4, 6, 6)
window = dict(strides="1,1", pads_begin="1,1", pads_end="1,1", dilations="1,1", auto_pad="explicit")


def operators():
    for kind in ("Relu", "Sigmoid", "HSwish", "Gelu", "SoftPlus", "Mish", "Exp", "Floor", "ReLU"):
        yield kind.lower(), one(kind, opset=7)
    for kind in ("Add", "Subtract", "Multiply", "Divide", "Power", "Maximum", "SquaredDifference", "FloorMod", "Mod"):
        yield kind.lower() + "_two", one(kind, inputs=2, auto_broadcast="numpy")
    yield "clamp", one("Clamp", min="0", max="6")
    yield "elu", one("Elu", alpha="1.5")
    yield "swish", one("Swish", ([1.0], (), "f32"), opset=4)
    yield "prelu", one("PReLU", ([0.1, 0.2, 0.3, 0.4], (4,), "f32"), shape=image)
    yield "conv", one("Convolution", ([1.0] * 144, (4, 4, 3, 3), "f32"), shape=image, **window)
    yield "group_conv", one("GroupConvolution", ([1.0] * 36, (4, 1, 1, 3, 3), "f32"), shape=image, **window)
    yield "conv_back", one("ConvolutionBackpropData", ([1.0] * 144, (4, 4, 3, 3), "f32"), shape=image, **window)
    yield "group_conv_back", one("GroupConvolutionBackpropData", ([1.0] * 36, (4, 1, 1, 3, 3), "f32"), shape=image,
                                 **window)
    yield "max_pool", one("MaxPool", shape=image, kernel="2,2", rounding_type="ceil", strides="2,2", pads_begin="0,0",
                          pads_end="0,0")
    yield "average_pool", one("AvgPool", shape=image, kernel="2,2", strides="2,2", pads_begin="0,0", pads_end="1,1",
                              **{"exclude-pad": "true"})
    yield "mat_mul", one("MatMul", ([1.0] * 8, (2, 4), "f32"), transpose_b="true")
    yield "reduce", one("ReduceMean", ([1],), keep_dims="true")
    yield "reshape", one("Reshape", ([0, -1],), special_zero="true")
    yield "squeeze", one("Squeeze", ([0],))
    yield "unsqueeze", one("Unsqueeze", ([0],))
    yield "transpose", one("Transpose", ([1, 0],))
    yield "concat", one("Concat", inputs=2, axis="-1")
    yield "split", one("Split", ([1], ()), num_splits="2", outputs=2)
    yield "variadic_split", one("VariadicSplit", ([1], ()), ([1, -1],), outputs=2)
    yield "strided_slice", one("StridedSlice", ([0, 1, 0],), ([0, 3, 0],), ([1, 1, 1],), begin_mask="1,0,0",
                               end_mask="1,0,0", new_axis_mask="0,0,1", shrink_axis_mask="0,1,0", ellipsis_mask="0")
    yield "slice", one("Slice", ([0],), ([9],), ([2],), ([1],), opset=8)
    yield "gather", one("Gather", ([0, 1],), ([1], ()), opset=8)
    yield "gather_batch", one("Gather", ([0, 1], (1, 2)), ([1], ()), opset=8, batch_dims="1")
    yield "pad", one("Pad", ([0, 1],), ([0, 2],), pad_mode="reflect")
    yield "tile", one("Tile", ([2],))
    yield "broadcast", one("Broadcast", ([2, 1, 4],), ([1, 2],), mode="explicit")
    yield "interpolate", one("Interpolate", ([12, 12],), ([2.0, 2.0], (2,), "f32"), ([2, 3],), shape=image, opset=4,
                             mode="linear_onnx", shape_calculation_mode="scales", nearest_mode="simple")
    yield "interpolate1", one("Interpolate", ([12, 12],), shape=image, axes="2,3", mode="nearest")
    yield "top_k", one("TopK", ([2], ()), axis="1", mode="max", sort="value", outputs=2, opset=3)
    yield "softmax", one("SoftMax", axis="1")
    yield "mvn", one("MVN", ([1],), opset=6, eps="1e-5", normalize_variance="true", eps_mode="inside_sqrt")
    yield "normalize", one("NormalizeL2", ([1],), eps="1e-5", eps_mode="add")
    yield "fake_quantize", one("FakeQuantize", *[([v], (), "f32") for v in (-1.0, 1.0, -1.0, 1.0)], levels="256")
    yield "convert", one("Convert", destination_type="i32")
    yield "prior_box", one("PriorBox", ([9, 9],), inputs=1, shape=(2,), min_size="16", aspect_ratio="2", flip="true",
                           step="16", variance="0.1,0.1,0.2,0.2", offset="0.5", clip="false")
    yield "detection_output", one("DetectionOutput", ([0.1] * 16, (1, 2, 8), "f32"), inputs=2, shape=(1, 8), opset=8,
                                  keep_top_k="4", code_type="caffe.PriorBoxParameter.CENTER_SIZE", nms_threshold="0.5")
    yield "shuffle", one("ShuffleChannels", shape=image, axis="1", group="2")
    yield "lstm", one("LSTMSequence", ([0.0] * 2, (1, 1, 2), "f32"), ([0.0] * 2, (1, 1, 2), "f32"), ([3], (1,)),
                      ([0.1] * 32, (1, 8, 4), "f32"), ([0.1] * 16, (1, 8, 2), "f32"), ([0.1] * 8, (1, 8), "f32"),
                      shape=(1, 3, 4), outputs=3, opset=5, hidden_size="2", direction="forward")
    yield "gru_cell", one("GRUCell", ([0.0] * 2, (1, 2), "f32"), ([0.1] * 24, (6, 4), "f32"), ([0.1] * 12, (6, 2), "f32"),
                          ([0.1] * 8, (8,), "f32"), opset=3, hidden_size="2", linear_before_reset="true")


def detectors():
    def net(kind, *operands, outputs=1, **data):
        """Operands: shapes of parameters, or constants."""
        made = Net()
        values = [made.parameter(*o) if all(isinstance(n, int) for n in o) else made.constant(*o) for o in operands]
        layer = made.layer(kind, values, [(1, 4)] * outputs, **data)
        for i in range(outputs):
            made.result((layer, len(values) + i))
        return made.seed()

    yield "prior_box_fixed", net("PriorBox", ([1, 2],), ([20, 30],), fixed_size="8,16", density="2,1", fixed_ratio="1",
                                 step="10", offset="0.5", variance="0.1")
    yield "prior_box_fractions", net("PriorBox", ([1, 2],), ([20, 30],), opset=8, min_size="0.2,0.4", aspect_ratio="2",
                                     flip="1", scale_all_sizes="0", step="-1", offset="0.5", clip="1")
    yield "prior_box_clustered", net("PriorBoxClustered", ([1, 2],), ([20, 30],), width="4,2", height="2,4", step="16",
                                     step_w="0", step_h="0", offset="0.5", variance="0.1,0.1,0.2,0.2")
    yield "prior_grid", net("ExperimentalDetectronPriorGridGenerator", ([1.0] * 8, (2, 4), "f32"), (1, 1, 2, 3),
                            (1, 3, 32, 48), opset=6, flatten="true", h="0", w="0", stride_x="16", stride_y="16")
    yield "detection_output_refined", net(
        "DetectionOutput", (1, 8), (1, 6), ([0.5] * 10, (1, 1, 10), "f32"), (1, 4), (1, 8), num_classes="3",
        keep_top_k="4", top_k="9", variance_encoded_in_target="1", decrease_label_id="1", input_width="20",
        input_height="10", objectness_score="0.1", nms_threshold="0.5")
    yield "proposal", net("Proposal", (1, 4, 2, 2), (1, 8, 2, 2), ([32.0, 32.0, 1.0], (3,), "f32"), opset=4, outputs=2,
                          base_size="16", feat_stride="16", ratio="1", scale="1,2", pre_nms_topn="9", post_nms_topn="3",
                          nms_thresh="0.7", min_size="4", framework="tensorflow")
    yield "generate_proposals", net("GenerateProposals", (1, 3), (2, 2, 1, 4), (1, 4, 2, 2), (1, 1, 2, 2), opset=9,
                                    outputs=3, min_size="1", nms_threshold="0.5", pre_nms_count="9",
                                    post_nms_count="3", roi_num_type="i32")
    yield "single_image", net("ExperimentalDetectronGenerateProposalsSingleImage", (3,), (4, 4), (4, 2, 2), (1, 2, 2),
                              opset=6, outputs=2, min_size="1", nms_threshold="0.5", pre_nms_count="9",
                              post_nms_count="3")
    yield "detectron_output", net("ExperimentalDetectronDetectionOutput", (2, 4), (2, 8), (2, 2), (1, 3), opset=6,
                                  outputs=3, score_threshold="0.1", nms_threshold="0.5", max_delta_log_wh="4.1",
                                  num_classes="2", post_nms_count="2", max_detections_per_image="3",
                                  deltas_weights="10,10,5,5")
    yield "roi_features", net("ExperimentalDetectronROIFeatureExtractor", (2, 4), (1, 2, 4, 4), (1, 2, 2, 2), opset=6,
                              outputs=2, output_size="2", sampling_ratio="2", pyramid_scales="4,8", aligned="true")
    yield "top_k_rois", net("ExperimentalDetectronTopKROIs", (3, 4), (3,), opset=6, max_rois="2")
    yield "nms", net("NonMaxSuppression", (1, 4, 4), (1, 2, 4), ([3], ()), ([0.5], (), "f32"), ([0.1], (), "f32"),
                     ([0.5], (), "f32"), opset=9, outputs=3, box_encoding="center", sort_result_descending="true",
                     output_type="i32")
    yield "multiclass_nms", net("MulticlassNms", (2, 5, 4), (2, 5), ([2, 3],), opset=9, outputs=3, iou_threshold="0.5",
                                nms_eta="0.9", keep_top_k="3", sort_result_type="classid", output_type="i64")
    yield "matrix_nms", net("MatrixNms", (1, 4, 4), (1, 2, 4), opset=8, outputs=3, decay_function="gaussian",
                            gaussian_sigma="2", nms_top_k="3", normalized="false")
    yield "roi_pooling", net("ROIPooling", (1, 2, 4, 4), (3, 5), opset=2, pooled_h="2", pooled_w="2",
                             spatial_scale="0.5", method="max")
    yield "psroi_pooling", net("PSROIPooling", (1, 8, 4, 4), (3, 5), output_dim="2", group_size="2", mode="bilinear",
                               spatial_bins_x="2", spatial_bins_y="2", spatial_scale="1")
    yield "deformable_psroi_pooling", net("DeformablePSROIPooling", (1, 8, 4, 4), (3, 5), (3, 2, 2, 2), output_dim="2",
                                          group_size="2", part_size="2", trans_std="0.1", spatial_scale="1")
    yield "roi_align", net("ROIAlign", (1, 2, 4, 4), (3, 4), ([0, 0, 0],), opset=9, pooled_h="2", pooled_w="2",
                           sampling_ratio="2", spatial_scale="0.5", mode="max", aligned_mode="half_pixel")
    yield "region_yolo", net("RegionYolo", (1, 14, 2, 2), coords="4", classes="2", num="2", do_softmax="1", axis="1",
                             end_axis="3")
    yield "reorg_yolo", net("ReorgYolo", (1, 4, 4, 4), opset=2, stride="2")
    yield "ctc", net("CTCGreedyDecoder", (5, 1, 3), (5, 1), ctc_merge_repeated="true")
    yield "ctc_lengths", net("CTCGreedyDecoderSeqLen", (1, 5, 3), ([4],), opset=6, outputs=2, merge_repeated="true",
                             classes_index_type="i64", sequence_length_type="i32")
    yield "space_to_batch", net("SpaceToBatch", image, ([1, 1, 2, 2],), ([0, 0, 0, 0],), ([0, 0, 0, 0],), opset=2)
    yield "batch_to_space", net("BatchToSpace", (4, 1, 2, 2), ([1, 1, 2, 2],), ([0, 0, 0, 0],), ([0, 0, 1, 0],), opset=2)
    yield "patches", net("ExtractImagePatches", image, opset=3, sizes="2,2", strides="2,1", rates="1,2",
                         auto_pad="same_upper")
    yield "roll", net("Roll", image, ([1, -2],), ([2, 3],), opset=7)
    yield "bucketize", net("Bucketize", (2, 3), ([0.5, 1.5], (2,), "f32"), opset=3, output_type="i32",
                           with_right_bound="false")
    yield "bags", net("EmbeddingBagOffsetsSum", (5, 2), ([0, 2, 4],), ([0, 2],), ([1], ()), opset=3)
    yield "packed_bags", net("EmbeddingBagPackedSum", (5, 2), ([0, 2, 4, 1], (2, 2)), opset=3)
    yield "segments", net("EmbeddingSegmentsSum", (5, 2), ([0, 2, 4],), ([0, 0, 1],), ([3], ()), opset=3)
    yield "adaptive_pool", net("AdaptiveMaxPool", image, ([2, 5],), opset=8, outputs=2, index_element_type="i32")
    yield "attention", net("ScaledDotProductAttention", (2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5), opset=13, causal="true")
    yield "fourier", net("DFT", (2, 3, 4, 2), ([1, -1],), ([-1, 5],), opset=7)
    yield "real_fourier", net("RDFT", (2, 3, 4), ([1, 2],), opset=9)
    yield "real_fourier_back", net("IRDFT", (2, 3, 3, 2), ([1, 2],), ([3, 5],), opset=9)
    yield "eye", net("Eye", ([2], ()), ([3], ()), ([1], ()), ([2],), opset=9, output_type="f32")
    yield "slice_scatter", net("SliceScatter", (3, 4), (3, 2), ([1],), ([4],), ([2],), ([1],), opset=15)
    yield "scatter_update", net("ScatterUpdate", (2, 3, 2), ([2, 0],), (2, 2, 2), ([1], ()), opset=3)


def control():
    body = Net()
    part, state = body.parameter(1, 1, 4), body.parameter(1, 1, 4)
    total = body.op("Add", part, state, shape=(1, 1, 4))
    first, second = body.result(total), body.result(total)
    ports = (f'<port_map><input external_port_id="0" internal_layer_id="{part[0]}" axis="1" start="0" end="-1" '
             f'stride="1" part_size="1"/><input external_port_id="1" internal_layer_id="{state[0]}"/>'
             f'<output external_port_id="2" internal_layer_id="{first}" axis="1"/>'
             f'<output external_port_id="3" internal_layer_id="{second}"/></port_map>'
             f'<back_edges><edge from-layer="{second}" to-layer="{state[0]}"/></back_edges>')
    net = Net()
    loop = net.layer("TensorIterator", (net.parameter(1, 3, 4), net.parameter(1, 1, 4)), ((1, 3, 4), (1, 1, 4)),
                     inside=ports + f"<body>{body.body()}</body>")
    net.result((loop, 2))
    net.result((loop, 3))
    yield "tensor_iterator", net.seed()

    branch = Net()
    branch.result(branch.op("Relu", branch.parameter(1, 4)))
    net = Net()
    maps = "".join(f'<{which}_port_map><input external_port_id="1" internal_layer_id="0"/>'
                   f'<output external_port_id="2" internal_layer_id="2"/></{which}_port_map>'
                   f"<{which}_body>{branch.body()}</{which}_body>" for which in ("then", "else"))
    chosen = net.layer("If", (net.parameter(kind="boolean"), net.parameter(1, 4)), ((1, 4),), opset=8, inside=maps)
    net.result((chosen, 2))
    yield "if", net.seed()


def hostile():
    yield "empty", b""
    yield "no_net", b"<svg/>"
    yield "truncated", one("Relu")[:300]
    yield "old", Net(version=7).seed()
    yield "entities", (b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
                       b'<net name="&b;" version="11"/>')
    yield "deep", b"<net version='11'>" + b"<a>" * 2000
    net = Net()
    net.result(net.op("Relu", (1, 1)))
    yield "circle", net.seed()
    for name, data in (("far", dict(shape="4", offset=10**15, size=16)), ("huge", dict(shape="9" * 18, offset=0, size=16)),
                       ("negative", dict(shape="-4", offset=-1, size=-16)), ("lies", dict(shape="4", offset=0, size=3))):
        net = Net()
        constant = net.layer("Const", (), ((4,),), element_type="f32", **data)
        net.result((constant, 0))
        yield name, net.seed()
    for name, shape in (("target_no_list", ()), ("target_too_long", (10**9,))):
        net = Net()
        values = net.parameter(1, 4), net.parameter(*shape, kind="i64"), net.constant([2, 1])
        net.result(net.op("Broadcast", *values, mode="explicit"))
        yield name, net.seed()
    net = Net()
    factor = net.op("Broadcast", net.constant([0.0], (1,), "f32"), net.constant([2048, 2048]), shape=(2048, 2048))
    net.result(net.op("MatMul", factor, factor, shape=(2048, 2048)))
    yield "bomb_matmul", net.seed()
    yield "eye_of_no_columns", one("Eye", ([10**15], ()), ([0], ()), ([0], ()), inputs=0, opset=9, output_type="f32")
    yield "unknown", one("NoSuchLayer")
    yield "opset", one("Relu", opset=999)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for seeds in (operators, detectors, control, hostile):
        for name, data in seeds():
            (folder / name).write_bytes(data)


main()
