"""Prints the operations and errors of a service, as botocore's model of it has them, as JSON.

usage: service_model.py SERVICE
"""

import json
import sys

import botocore.session

model = botocore.session.get_session().get_service_model(sys.argv[1])
operations = {}
for name in model.operation_names:
    operation = model.operation_model(name)
    operations[name] = {
        "method": operation.http["method"],
        "path": operation.http["requestUri"],
        "errors": sorted(error.name for error in operation.error_shapes),
    }
errors = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in model.error_shapes}
json.dump({"operations": operations, "errors": errors}, sys.stdout)
