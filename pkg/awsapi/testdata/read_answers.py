"""Read the answers in a directory with botocore, and fail where it cannot or misses something.

What an answer has beside what botocore reads of it would be lost on every client: the texts of
all its elements must be among the values. An older botocore does not know the newest members
and operations, and these are named and left out.
"""
import datetime
import pathlib
import sys
import xml.etree.ElementTree as ET

import botocore
import botocore.loaders
import botocore.model
import botocore.parsers

NAMES = {"ec2": "ec2", "elasticloadbalancing": "elbv2", "sts": "sts"}
loader = botocore.loaders.Loader()
models = {
    service: botocore.model.ServiceModel(loader.load_service_model(name, "service-2"), name)
    for service, name in NAMES.items()
}


def leaves(value):
    """All values of a parsed answer, as texts."""
    if isinstance(value, dict):
        for name, v in value.items():
            if name != "ResponseMetadata":
                yield from leaves(v)
    elif isinstance(value, list):
        for v in value:
            yield from leaves(v)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, datetime.datetime):
        yield value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    else:
        yield str(value)


def texts(element):
    """All texts of an answer, without the id of the request."""
    for child in element:
        if child.tag.rsplit("}")[-1] in ("requestId", "ResponseMetadata"):
            continue
        if len(child):
            yield from texts(child)
        elif child.text and child.text.strip():
            yield child.text


read, lost, unknown = 0, [], []
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.xml")):
    service, operation = path.stem.split("-", 1)
    model = models[service]
    if operation not in model.operation_names:
        unknown.append(operation)
        continue
    op = model.operation_model(operation)
    body = path.read_bytes()
    parser = botocore.parsers.create_parser(model.protocol if hasattr(model, "protocol") else model.metadata["protocol"])
    parsed = parser.parse({"status_code": 200, "headers": {}, "body": body}, op.output_shape)
    read += 1
    if op.output_shape is None:
        continue
    found = sorted(leaves(parsed))
    for text in texts(ET.fromstring(body)):
        if text in found:
            found.remove(text)
        else:
            lost.append(f"{operation}: {text!r}")

print(f"botocore {botocore.__version__} read {read} answers; it does not know {len(unknown)} operations: {unknown}")
# Versions before that of the description know fewer members.
newest = tuple(int(n) for n in botocore.__version__.split(".")[:2]) >= (1, 43)
if lost and newest:
    sys.exit("botocore did not find: " + "; ".join(lost[:20]))
print(f"{len(lost)} values are of members that it does not know")
if len(lost) > 40:
    sys.exit("too many: " + "; ".join(lost[:60]))
