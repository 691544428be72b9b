"""A program on an instance, without any override: it asks the metadata service where it is, makes
an endpoint of a service, waits until it is available, and prints the page that comes through it.

    endpoint.py SERVICE-NAME
"""

import sys
import time
import urllib.request

import boto3

METADATA = "http://169.254.169.254/latest/"


def metadata(path):
    """What the metadata service says, by a token (IMDSv2)."""
    asks = urllib.request.Request(METADATA + "api/token", method="PUT",
                                  headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    token = urllib.request.urlopen(asks, timeout=5).read().decode()
    asks = urllib.request.Request(METADATA + "meta-data/" + path, headers={"X-aws-ec2-metadata-token": token})
    return urllib.request.urlopen(asks, timeout=5).read().decode()


nic = "network/interfaces/macs/" + metadata("mac") + "/"
session = boto3.Session(region_name=metadata("placement/region"))
ec2 = session.client("ec2")
identity = session.client("sts").get_caller_identity()["Arn"]
if not identity.endswith("/" + metadata("instance-id")):
    sys.exit(f"these are not the keys of the instance: {identity}")

endpoint = ec2.create_vpc_endpoint(
    VpcEndpointType="Interface", VpcId=metadata(nic + "vpc-id"), SubnetIds=[metadata(nic + "subnet-id")],
    SecurityGroupIds=metadata(nic + "security-group-ids").split(), ServiceName=sys.argv[1])["VpcEndpoint"]
for _ in range(100):
    now = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])["VpcEndpoints"][0]
    if now["State"] == "available":
        break
    time.sleep(0.1)
print(urllib.request.urlopen("http://" + now["DnsEntries"][0]["DnsName"], timeout=5).read().decode().strip())
