// Nothing here is compiled: these modules carry the definitions of HTTPRoute and VirtualService.
module slipway/tests/kubernetes/routes

go 1.26.0

require (
	istio.io/api v1.31.1
	sigs.k8s.io/gateway-api v1.6.3
)
