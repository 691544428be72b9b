package lb

import (
	"github.com/plinksim/plinksim/pkg/topology"
)

// Words are the state of a server and the code of its reason as a cloud's API
// says them; the code is "" where there is none. balancer is the type of load
// balancer that uses the group, "" where none does.
//
// AWS: Elastic Load Balancing API, TargetHealth. Alibaba Cloud: Server Load
// Balancer API 2014-05-15, DescribeHealthStatus; Network Load Balancer API
// 2022-04-30 and Application Load Balancer API 2020-06-16,
// GetListenerHealthStatus, where a server that is not listed is Healthy.
func (h ServerHealth) Words(cloud topology.Cloud, balancer topology.LoadBalancerType) (state, code string) {
	if say, ok := wordsOf[cloud]; ok {
		return say(h, balancer)
	}
	return h.State.String(), ""
}

// wordsOf are the clouds that have words of their own.
var wordsOf = map[topology.Cloud]func(ServerHealth, topology.LoadBalancerType) (state, code string){
	topology.Alibaba: ServerHealth.alibaba,
	topology.AWS:     ServerHealth.aws,
}

// clbWords are those of a CLB, which names no reason.
var clbWords = map[State]string{
	Initial: "abnormal", Healthy: "normal", Unhealthy: "abnormal", Unchecked: "unavailable", Removed: "removed",
}

func (h ServerHealth) aws(balancer topology.LoadBalancerType) (state, code string) {
	switch h.State {
	case Initial:
		return "initial", "Elb.InitialHealthChecking"
	case Healthy:
		return "healthy", ""
	case Unchecked:
		return "unavailable", "Target.HealthCheckDisabled"
	case Removed:
		if h.Draining {
			return "draining", "Target.DeregistrationInProgress"
		}
		return "unused", "Target.NotRegistered"
	}
	state = "unhealthy"
	if h.Draining {
		state = "unhealthy.draining"
	}
	// Network Load Balancers know one reason.
	switch {
	case h.Cause == SwitchedOff:
		return "unused", "Target.InvalidState"
	case balancer == topology.ALB && h.Cause == Mismatch:
		return state, "Target.ResponseCodeMismatch"
	case balancer == topology.ALB && (h.Cause == ConnectTimeout || h.Cause == AnswerTimeout):
		return state, "Target.Timeout"
	}
	return state, "Target.FailedHealthChecks"
}

func (h ServerHealth) alibaba(balancer topology.LoadBalancerType) (state, code string) {
	if balancer == topology.CLB || balancer == "" {
		return clbWords[h.State], ""
	}
	switch h.State {
	case Initial:
		return "Initial", ""
	case Healthy:
		return "Healthy", ""
	case Unchecked:
		return "Unavailable", ""
	case Removed:
		return "Removing", ""
	}
	return "Unhealthy", map[Cause]string{
		ConnectTimeout: "CONNECT_TIMEOUT",
		ConnectFailed:  "CONNECT_FAILED",
		AnswerTimeout:  "RECV_RESPONSE_TIMEOUT",
		AnswerFailed:   "RECV_RESPONSE_FAILED",
		Mismatch:       "HTTP_CODE_NOT_MATCH",
		Malformed:      "HTTP_INVALID_HEADER",
	}[h.Cause]
}
