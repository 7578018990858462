"""The model in ONNX Runtime, built from the weights that Venom reads; answers lines of JSON.

    onnx_runtime.py MODEL_FOLDER WORK_FOLDER

A line is {"precision": "f32" | "int8", "threads": N, "ids": [[...], ...], "rounds": N}; texts of a line
are equally long. The answer is {"ms": [...], "vectors": [[...], ...]}, vectors of unit length.
"""

import json
import math
import struct
import sys
import time
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

WIDTH, HEADS, LAYERS = 384, 12, 6


def tensors(path):
    """The f32 tensors of a safetensors file by name."""
    data = path.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    found = {}
    for name, info in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__" and info["dtype"] == "F32":
            start, end = (8 + length + at for at in info["data_offsets"])
            found[name] = numpy.frombuffer(data[start:end], "<f4").reshape(info["shape"])
    return found


class Graph:
    """A graph under construction."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], {}

    def constant(self, name, array):
        self.constants[name] = numpy_helper.from_array(numpy.ascontiguousarray(array), name)
        return name

    def weight(self, name, transposed=False):
        array = self.weights[name]
        return self.constant(name, array.T if transposed else array)

    def node(self, operator, *inputs, output=None, **attributes):
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def norm(self, x, name):
        weights = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", x, *weights, axis=-1, epsilon=1e-12)

    def linear(self, x, name):
        product = self.node("MatMul", x, self.weight(f"{name}.weight", transposed=True))
        return self.node("Add", product, self.weight(f"{name}.bias"))


def embeddings(graph):
    words = graph.node("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    positions = graph.weights["embeddings.position_embeddings.weight"]
    types = graph.weights["embeddings.token_type_embeddings.weight"]
    places = graph.constant("positions", positions + types[0])
    bounds = (graph.constant(name, numpy.array([value], "i8")) for name, value in (("from", 0), ("axis", 1), ("after", 2)))
    start, axis, after = bounds
    count = graph.node("Slice", graph.node("Shape", "ids"), axis, after)
    return graph.norm(graph.node("Add", words, graph.node("Slice", places, start, count)), "embeddings.LayerNorm")


def layer(graph, x, name):
    def heads(part, order):
        split = graph.node("Reshape", graph.linear(x, f"{name}attention.self.{part}"), "split")
        return graph.node("Transpose", split, perm=order)

    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = graph.node("Mul", graph.node("MatMul", query, key), "scale")
    context = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
    context = graph.node("Reshape", graph.node("Transpose", context, perm=[0, 2, 1, 3]), "join")
    attended = graph.node("Add", x, graph.linear(context, f"{name}attention.output.dense"))
    attended = graph.norm(attended, f"{name}attention.output.LayerNorm")
    wide = graph.linear(attended, f"{name}intermediate.dense")
    erf = graph.node("Add", graph.node("Erf", graph.node("Div", wide, "root")), "one")
    wide = graph.node("Mul", graph.node("Mul", wide, erf), "half")
    return graph.norm(graph.node("Add", attended, graph.linear(wide, f"{name}output.dense")), f"{name}output.LayerNorm")


def export(weights, path):
    graph = Graph(weights)
    scalars = {"scale": 1 / math.sqrt(WIDTH / HEADS), "root": math.sqrt(2), "one": 1, "half": 0.5}
    for name, value in scalars.items():
        graph.constant(name, numpy.array(value, "f4"))
    graph.constant("split", numpy.array([0, 0, HEADS, WIDTH // HEADS], "i8"))
    graph.constant("join", numpy.array([0, 0, WIDTH], "i8"))
    x = embeddings(graph)
    for index in range(LAYERS):
        x = layer(graph, x, f"encoder.layer.{index}.")
    graph.node("ReduceMean", x, "axis", output="means", keepdims=0)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"])
    means = helper.make_tensor_value_info("means", TensorProto.FLOAT, ["texts", WIDTH])
    whole = helper.make_graph(graph.nodes, "minilm", [ids], [means], list(graph.constants.values()))
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main():
    model, work = Path(sys.argv[1]), Path(sys.argv[2])
    onnxruntime.set_default_logger_severity(3)
    export(tensors(model / "model.safetensors"), work / "f32.onnx")
    quantize_dynamic(work / "f32.onnx", work / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
    sessions = {}
    print(json.dumps({"version": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        key = request["precision"], request["threads"]
        if key not in sessions:
            sessions[key] = session(work / f"{key[0]}.onnx", key[1])
        ids = {"ids": numpy.array(request["ids"], "i8")}
        # As in `bench::embed::now`.
        clock = time.thread_time if request["threads"] == 1 else time.perf_counter
        times = []
        for _ in range(request["rounds"]):
            began = clock()
            [means] = sessions[key].run(None, ids)
            times.append((clock() - began) * 1e3)
        vectors = means / numpy.linalg.norm(means, axis=1, keepdims=True)
        print(json.dumps({"ms": times, "vectors": vectors.tolist()}), flush=True)


main()
