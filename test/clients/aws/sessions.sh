#!/usr/bin/env bash
# sessions.sh: what a user types into the AWS CLI, session after session, each of which ends in
# a page that comes through an endpoint, or does not. PLINKSIM is the program, AWS the CLI:
# one that knows AWS_ENDPOINT_URL and an older one do the same.
set -euo pipefail
PLINKSIM=${PLINKSIM:-plinksim}
AWS=${AWS:-aws}
work=$(mktemp -d)
export PLINKSIM_STATE_DIR=$work/labs
lab=aws-sessions
finish() {
	"$PLINKSIM" down "$lab" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap finish EXIT
here=$(cd "$(dirname "$0")" && pwd)
"$PLINKSIM" up --api 127.0.0.1:0 --api-in-vpcs --api-exec --name "$lab"
eval "$("$PLINKSIM" api env)"

# AWS_ENDPOINT_URL is known to 1.29, 2.13 and later.
version=$("$AWS" --version 2>&1 | sed 's#aws-cli/\([0-9]*\.[0-9]*\).*#\1#')
case $version in
1.[0-9] | 1.1? | 1.2[0-8] | 2.[0-9] | 2.1[0-2]) a() { "$AWS" --endpoint-url "$AWS_ENDPOINT_URL" "$@"; } ;;
*) a() { "$AWS" "$@"; } ;;
esac
P() { a --profile provider "$@"; }
C() { a --profile consumer "$@"; }
q() { local all=("$@"); "${all[@]:0:$#-1}" --query "${all[-1]}" --output text; } # q COMMAND... QUERY
get() { "$PLINKSIM" exec "$CLIENT" -- curl -fsS --max-time 3 "$@"; }
no() { ! "$@" >/dev/null 2>&1; }
code() { "$@" 2>&1 >/dev/null | sed -n 's/.*(\([A-Za-z.]*\)) when calling.*/\1/p'; }
is() { [ "$1" = "$2" ] || { echo "want $2, got $1" >&2; return 1; }; }
until_is() { # until_is WANT COMMAND...
	local want=$1 got
	shift
	for _ in $(seq 100); do
		got=$("$@" 2>/dev/null || true)
		[ "$got" = "$want" ] && return
		sleep 0.2
	done
	is "$got" "$want"
}

who_am_i() {
	PACC=$(q P sts get-caller-identity Account)
	CACC=$(q C sts get-caller-identity Account)
	test "$PACC" != "$CACC"
	no env -u AWS_PROFILE AWS_ACCESS_KEY_ID=AKIANOBODY AWS_SECRET_ACCESS_KEY=x "$AWS" --endpoint-url "$AWS_ENDPOINT_URL" \
		sts get-caller-identity
}

from_nothing_to_a_page() {
	PVPC=$(q P ec2 create-vpc --cidr-block 10.0.0.0/16 --tag-specifications 'ResourceType=vpc,Tags=[{Key=Name,Value=provider}]' Vpc.VpcId)
	PSUB=$(q P ec2 create-subnet --vpc-id "$PVPC" --cidr-block 10.0.1.0/24 --availability-zone us-east-1a Subnet.SubnetId)
	PSG=$(q P ec2 create-security-group --group-name web --description web --vpc-id "$PVPC" GroupId)
	P ec2 authorize-security-group-ingress --group-id "$PSG" --protocol tcp --port 80 --cidr 10.0.0.0/16
	WEB=$(q P ec2 run-instances --image-id ami-0plinksimhttp0000 --instance-type t3.micro --subnet-id "$PSUB" --private-ip-address 10.0.1.10 --security-group-ids "$PSG" --tag-specifications 'ResourceType=instance,Tags=[{Key=Name,Value=web}]' 'Instances[0].InstanceId')
	P ec2 wait instance-running --instance-ids "$WEB"
	LB=$(q P elbv2 create-load-balancer --name nlb1 --type network --scheme internal --subnets "$PSUB" 'LoadBalancers[0].LoadBalancerArn')
	TG=$(q P elbv2 create-target-group --name tg1 --protocol TCP --port 80 --vpc-id "$PVPC" 'TargetGroups[0].TargetGroupArn')
	P elbv2 register-targets --target-group-arn "$TG" --targets "Id=$WEB,Port=80"
	P elbv2 create-listener --load-balancer-arn "$LB" --protocol TCP --port 80 --default-actions "Type=forward,TargetGroupArn=$TG"
	P elbv2 wait load-balancer-available --load-balancer-arns "$LB"
	P elbv2 wait target-in-service --target-group-arn "$TG"
	SVC=$(q P ec2 create-vpc-endpoint-service-configuration --network-load-balancer-arns "$LB" --acceptance-required --client-token svc-1 ServiceConfiguration.ServiceId)
	NAME=$(q P ec2 describe-vpc-endpoint-service-configurations --service-ids "$SVC" 'ServiceConfigurations[0].ServiceName')
	P ec2 modify-vpc-endpoint-service-permissions --service-id "$SVC" --add-allowed-principals "arn:aws:iam::$CACC:root"
	CVPC=$(q C ec2 create-vpc --cidr-block 10.0.0.0/16 Vpc.VpcId)
	CSUB=$(q C ec2 create-subnet --vpc-id "$CVPC" --cidr-block 10.0.1.0/24 --availability-zone us-east-1a Subnet.SubnetId)
	CSG=$(q C ec2 create-security-group --group-name ep --description ep --vpc-id "$CVPC" GroupId)
	C ec2 authorize-security-group-ingress --group-id "$CSG" --protocol tcp --port 80 --cidr 10.0.0.0/16
	CLIENT=$(q C ec2 run-instances --image-id ami-0plinksimempty000 --instance-type t3.micro --subnet-id "$CSUB" --private-ip-address 10.0.1.10 'Instances[0].InstanceId')
	EP=$(q C ec2 create-vpc-endpoint --vpc-endpoint-type Interface --vpc-id "$CVPC" --service-name "$NAME" --subnet-ids "$CSUB" --security-group-ids "$CSG" --client-token ep-1 VpcEndpoint.VpcEndpointId)
	is "$(q C ec2 describe-vpc-endpoints --vpc-endpoint-ids "$EP" 'VpcEndpoints[0].State')" pendingAcceptance
	P ec2 accept-vpc-endpoint-connections --service-id "$SVC" --vpc-endpoint-ids "$EP"
	until_is available q C ec2 describe-vpc-endpoints --vpc-endpoint-ids "$EP" 'VpcEndpoints[0].State'
	DNS=$(q C ec2 describe-vpc-endpoints --vpc-endpoint-ids "$EP" 'VpcEndpoints[0].DnsEntries[0].DnsName')
	until_is web get "http://$DNS/"
}

acceptance_decides() {
	P ec2 reject-vpc-endpoint-connections --service-id "$SVC" --vpc-endpoint-ids "$EP"
	is "$(q P ec2 describe-vpc-endpoint-connections --filters "Name=service-id,Values=$SVC" 'VpcEndpointConnections[0].VpcEndpointState')" rejected
	no get "http://$DNS/"
	P ec2 accept-vpc-endpoint-connections --service-id "$SVC" --vpc-endpoint-ids "$EP"
	until_is web get "http://$DNS/"
}

permissions() {
	P ec2 modify-vpc-endpoint-service-permissions --service-id "$SVC" --remove-allowed-principals "arn:aws:iam::$CACC:root"
	is "$(code C ec2 create-vpc-endpoint --vpc-endpoint-type Interface --vpc-id "$CVPC" --service-name "$NAME" --subnet-ids "$CSUB")" InvalidServiceName
	is "$(get "http://$DNS/")" web
	P ec2 modify-vpc-endpoint-service-permissions --service-id "$SVC" --add-allowed-principals "arn:aws:iam::$CACC:root"
}

a_second_zone() {
	PSUB2=$(q P ec2 create-subnet --vpc-id "$PVPC" --cidr-block 10.0.2.0/24 --availability-zone us-east-1b Subnet.SubnetId)
	CSUB2=$(q C ec2 create-subnet --vpc-id "$CVPC" --cidr-block 10.0.2.0/24 --availability-zone us-east-1b Subnet.SubnetId)
	WEB2=$(q P ec2 run-instances --image-id ami-0plinksimhttp0000 --instance-type t3.micro --subnet-id "$PSUB2" --security-group-ids "$PSG" --tag-specifications 'ResourceType=instance,Tags=[{Key=Name,Value=web2}]' 'Instances[0].InstanceId')
	P elbv2 set-subnets --load-balancer-arn "$LB" --subnets "$PSUB" "$PSUB2"
	P elbv2 register-targets --target-group-arn "$TG" --targets "Id=$WEB2"
	P ec2 modify-vpc-endpoint-service-configuration --service-id "$SVC"
	C ec2 modify-vpc-endpoint --vpc-endpoint-id "$EP" --add-subnet-ids "$CSUB2"
	DNSB=$(q C ec2 describe-vpc-endpoints --vpc-endpoint-ids "$EP" "VpcEndpoints[0].DnsEntries[?contains(DnsName,'us-east-1b')]|[0].DnsName")
	until_is web2 get "http://$DNSB/"
}

a_private_name() {
	P ec2 modify-vpc-endpoint-service-configuration --service-id "$SVC" --private-dns-name shop.example.com
	enable() { C ec2 modify-vpc-endpoint --vpc-endpoint-id "$EP" --private-dns-enabled; }
	is "$(code enable)" InvalidParameter # the VPC has no host names
	C ec2 modify-vpc-attribute --vpc-id "$CVPC" --enable-dns-hostnames
	is "$(code enable)" InvalidParameter # the name is not verified
	local record=(describe-vpc-endpoint-service-configurations --service-ids "$SVC")
	local txt value
	txt=$(q P ec2 "${record[@]}" 'ServiceConfigurations[0].PrivateDnsNameConfiguration.Name')
	value=$(q P ec2 "${record[@]}" 'ServiceConfigurations[0].PrivateDnsNameConfiguration.Value')
	"$PLINKSIM" public-zone create example domain=example.com "records=[{name: $txt.shop, txt: [\"$value\"]}]"
	P ec2 start-vpc-endpoint-service-private-dns-verification --service-id "$SVC"
	until_is verified q P ec2 "${record[@]}" 'ServiceConfigurations[0].PrivateDnsNameConfiguration.State'
	enable
	for _ in $(seq 50); do
		case $(get http://shop.example.com/ 2>/dev/null) in web | web2) return ;; esac
		sleep 0.2
	done
	return 1
}

rules_and_targets() {
	C ec2 revoke-security-group-ingress --group-id "$CSG" --protocol tcp --port 80 --cidr 10.0.0.0/16
	no get "http://$DNS/"
	C ec2 authorize-security-group-ingress --group-id "$CSG" --protocol tcp --port 80 --cidr 10.0.1.10/32
	until_is web2 get "http://$DNSB/"
	P elbv2 deregister-targets --target-group-arn "$TG" --targets "Id=$WEB2"
	until_is draining q P elbv2 describe-target-health --target-group-arn "$TG" --targets "Id=$WEB2" 'TargetHealthDescriptions[0].TargetHealth.State'
	no get "http://$DNSB/"
}

what_is_refused() {
	is "$(code P ec2 create-vpc --cidr-block 10.0.0.0/16 --dry-run)" DryRunOperation
	is "$(code C ec2 create-vpc-endpoint --vpc-endpoint-type Interface --vpc-id "$CVPC" --service-name "$NAME" --subnet-ids "$CSUB2" --client-token ep-1)" IdempotentParameterMismatch
	is "$(code P ec2 delete-vpc --vpc-id "$PVPC")" DependencyViolation
	is "$(q P ec2 delete-vpc-endpoint-service-configurations --service-ids "$SVC" 'Unsuccessful[0].Error.Code')" ExistingVpcEndpointConnections
	is "$(code P elbv2 delete-load-balancer --load-balancer-arn "$LB")" ResourceInUse
	is "$(code P ec2 create-nat-gateway --subnet-id "$PSUB")" UnsupportedOperation
	is "$(P ec2 describe-subnets --page-size 5 --filters "Name=vpc-id,Values=$PVPC" --output text --query 'Subnets[].SubnetId' | wc -w)" 2
}

by_a_program_on_an_instance() {
	P ec2 modify-vpc-endpoint-service-configuration --service-id "$SVC" --no-acceptance-required
	P elbv2 register-targets --target-group-arn "$TG" --targets "Id=$WEB2"
	APP=$(q C ec2 run-instances --image-id ami-0plinksimempty000 --subnet-id "$CSUB" --security-group-ids "$CSG" --iam-instance-profile Name=app 'Instances[0].InstanceId')
	C ec2 authorize-security-group-ingress --group-id "$CSG" --protocol tcp --port 80 --cidr 10.0.0.0/16
	until_is web "$PLINKSIM" exec "$APP" -- python3 "$here/endpoint.py" "$NAME"
	"$PLINKSIM" api calls | grep -q "on $CVPC/$APP .*CreateVpcEndpoint"
}

user_data() {
	SCRIPT=$(q C ec2 run-instances --image-id ami-0plinksimempty000 --subnet-id "$CSUB" --user-data '#!/bin/bash
echo "the script runs on $(hostname)"' 'Instances[0].InstanceId')
	until_is "the script runs on $SCRIPT" "$PLINKSIM" logs "$SCRIPT"
}

a_target_stops() {
	P ec2 stop-instances --instance-ids "$WEB"
	until_is stopped q P ec2 describe-instances --instance-ids "$WEB" 'Reservations[0].Instances[0].State.Name'
	no get "http://$DNS/"
	P ec2 start-instances --instance-ids "$WEB"
	until_is web get "http://$DNS/"
}

tags_and_names() {
	P ec2 create-tags --resources "$WEB" "$PVPC" --tags Key=team,Value=shop
	is "$(q P ec2 describe-instances --filters Name=tag:team,Values=sh* 'Reservations[0].Instances[0].InstanceId')" "$WEB"
	"$PLINKSIM" instance set web tags.team=door
	is "$(q P ec2 describe-tags --filters "Name=resource-id,Values=$WEB" Name=key,Values=team 'Tags[0].Value')" door
}

as_a_file() {
	"$PLINKSIM" export >"$work/lab.yaml"
	"$PLINKSIM" validate "$work/lab.yaml"
	grep -q 'tags: {.*team: door' "$work/lab.yaml"
}

# The lab of a file, in which a service waits for its owner.
a_file_is_driven() {
	"$PLINKSIM" down "$lab"
	"$PLINKSIM" up --api 127.0.0.1:0 "$here/../../../testdata/topologies/aws-nlb.yaml"
	lab=aws-nlb
	eval "$("$PLINKSIM" api env)"
	local service endpoint
	service=$(q P ec2 describe-vpc-endpoint-service-configurations 'ServiceConfigurations[0].ServiceId')
	endpoint=$(q C ec2 describe-vpc-endpoints 'VpcEndpoints[0].VpcEndpointId')
	CLIENT=client
	DNS=$(q C ec2 describe-vpc-endpoints 'VpcEndpoints[0].DnsEntries[0].DnsName')
	no get "http://$DNS/"
	P ec2 accept-vpc-endpoint-connections --service-id "$service" --vpc-endpoint-ids "$endpoint"
	until_is "Hello World from provider VPC" get "http://$DNS/"
}

for session in who_am_i from_nothing_to_a_page acceptance_decides permissions a_second_zone a_private_name \
	rules_and_targets a_target_stops tags_and_names what_is_refused by_a_program_on_an_instance user_data as_a_file \
	a_file_is_driven; do
	echo "== $session"
	$session >/dev/null
done
