// session.js: from nothing to a page that comes through an endpoint, with @alicloud/pop-core, which
// sends all parameters of a call in its body. It prints what a test asks for: the instance of the
// consumer and the name of the endpoint. LAB has the API's address, the region and both keys as JSON.
import pop from "@alicloud/pop-core";

const lab = JSON.parse(process.env.LAB);
const versions = { privatelink: "2020-04-15", vpc: "2016-04-28", ecs: "2014-05-26", nlb: "2022-04-30" };
const zone = lab.region + "b";

// account calls operations with the key of an account.
function account(key) {
  const clients = {};
  for (const [product, apiVersion] of Object.entries(versions)) {
    clients[product] = new pop.RPCClient({
      accessKeyId: key.access_key_id, accessKeySecret: key.secret_access_key, endpoint: "http://" + lab.address, apiVersion,
    });
  }
  return (product, action, parameters = {}) =>
    clients[product].request(action, { RegionId: lab.region, ...parameters }, { method: "POST", formatParams: false });
}
const provider = account(lab.provider);
const consumer = account(lab.consumer);

async function network(call) {
  const { VpcId } = await call("vpc", "CreateVpc", { CidrBlock: "192.168.0.0/16" });
  const { VSwitchId } = await call("vpc", "CreateVSwitch", { VpcId, ZoneId: zone, CidrBlock: "192.168.24.0/24" });
  const { SecurityGroupId } = await call("ecs", "CreateSecurityGroup", { VpcId });
  await call("ecs", "AuthorizeSecurityGroup", {
    SecurityGroupId, IpProtocol: "tcp", PortRange: "80/80", SourceCidrIp: "192.168.0.0/16",
  });
  const run = async (ImageId, InstanceName) =>
    (await call("ecs", "RunInstances", { ImageId, InstanceName, VSwitchId, SecurityGroupId })).InstanceIdSets.InstanceIdSet[0];
  return { VpcId, VSwitchId, SecurityGroupId, run };
}

// ended waits until a job of NLB has ended.
async function ended(answer) {
  for (let i = 0; i < 50; i++) {
    const { Status } = await provider("nlb", "GetJobStatus", { JobId: answer.JobId });
    if (Status === "Succeeded") return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the job " + answer.JobId + " does not end");
}

const from = await network(provider);
const web = await from.run("plinksim_http", "web");
const { LoadbalancerId } = await ended(await provider("nlb", "CreateLoadBalancer", {
  AddressType: "Intranet", VpcId: from.VpcId, "ZoneMappings.1.ZoneId": zone, "ZoneMappings.1.VSwitchId": from.VSwitchId,
}));
const { ServerGroupId } = await ended(await provider("nlb", "CreateServerGroup", {
  ServerGroupName: "servers", VpcId: from.VpcId, Protocol: "TCP",
}));
await ended(await provider("nlb", "AddServersToServerGroup", {
  ServerGroupId, "Servers.1.ServerId": web, "Servers.1.ServerType": "Ecs", "Servers.1.Port": 80, "Servers.1.Weight": 100,
}));
await ended(await provider("nlb", "CreateListener", {
  LoadBalancerId: LoadbalancerId, ListenerProtocol: "TCP", ListenerPort: 80, ServerGroupId,
}));
const { ServiceId } = await provider("privatelink", "CreateVpcEndpointService", {
  ServiceResourceType: "nlb", AutoAcceptEnabled: false,
});
await provider("privatelink", "AttachResourceToVpcEndpointService", {
  ServiceId, ResourceType: "nlb", ResourceId: LoadbalancerId, ZoneId: zone,
});
await provider("privatelink", "AddUserToVpcEndpointService", { ServiceId, UserId: lab.consumer.account_id });

const to = await network(consumer);
const client = await to.run("plinksim_empty", "client");
const { EndpointId, EndpointDomain } = await consumer("privatelink", "CreateVpcEndpoint", {
  VpcId: to.VpcId, ServiceId, "SecurityGroupId.1": to.SecurityGroupId, "Zone.1.ZoneId": zone,
  "Zone.1.VSwitchId": to.VSwitchId,
});
await provider("privatelink", "EnableVpcEndpointConnection", { ServiceId, EndpointId });
try {
  await provider("privatelink", "DeleteVpcEndpointService", { ServiceId });
  throw new Error("a service with a connection was deleted");
} catch (refused) {
  if (refused.code !== "EndpointServiceConnectionDependence") throw refused;
}
console.log(JSON.stringify({ client, name: EndpointDomain }));
