"""The nodes that a SuperLink knows, by name, which Flower's command line does not list.

python -m strategies.known_nodes CONNECTION
"""

import json
import sys
from typing import Final

from flwr.cli.flower_config import read_superlink_connection
from flwr.cli.utils import init_http_client_from_connection
from flwr.proto.control_pb2 import ListNodesRequest

__all__ = ["main"]

GONE: Final = "unregistered"


def main() -> None:
    """Print a JSON object of node ids by name."""
    client = init_http_client_from_connection(read_superlink_connection(sys.argv[1]))
    try:
        nodes = client.ListNodes(ListNodesRequest()).nodes_info
    finally:
        client.close()
    print(json.dumps({node.name: str(node.node_id) for node in nodes if node.status != GONE}))


if __name__ == "__main__":
    main()
