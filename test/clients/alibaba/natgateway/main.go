// natgateway VPC VSWITCH: the program of "managed reverse VPC connection", a best practice of
// Alibaba Cloud's Compute Nest (aliyun/ros-templates,
// compute-nest-best-practice/managed-reverse-vpc-connection/README.md), in Go instead of Java,
// with the same parameters: two of them are put into the query beside those that the SDK
// knows. It makes a NAT gateway of the type FullNat and prints the answer. The variables that
// "plinksim api env ACCOUNT" prints lead it to a lab.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	acserrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: natgateway VPC VSWITCH")
		os.Exit(2)
	}
	response, err := create(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(response)
	}
	if err == nil {
		return
	}
	var refused acserrors.Error
	if errors.As(err, &refused) {
		fmt.Fprintln(os.Stderr, "ErrCode:"+refused.ErrorCode())
		fmt.Fprintln(os.Stderr, "ErrMsg:"+refused.Message())
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

func create(vpcID, vSwitch string) (*vpc.CreateNatGatewayResponse, error) {
	client, err := vpc.NewClientWithAccessKey(os.Getenv("ALIBABA_CLOUD_REGION_ID"),
		os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"), os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
	if err != nil {
		return nil, err
	}
	request := vpc.CreateCreateNatGatewayRequest()
	request.SetDomain(os.Getenv("ALIBABA_CLOUD_ENDPOINT"))
	request.SetScheme(requests.HTTP)
	request.VpcId = vpcID
	request.Name = "test"
	request.VSwitchId = vSwitch
	request.NatType = "Enhanced"
	request.InstanceChargeType = "PostPaid"
	request.NetworkType = "intranet"
	request.QueryParams["PrivateLinkEnabled"] = "true"
	request.QueryParams["PrivateLinkMode"] = "Fullnat"
	return client.CreateNatGateway(request)
}
