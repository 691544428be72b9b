# What modules read and make beside that.

data "aws_region" "current" { provider = aws.provider }

data "aws_availability_zones" "all" {
  provider = aws.provider
  state    = "available"
}

data "aws_vpc" "consumer" {
  provider = aws.consumer
  id       = aws_vpc.consumer.id
}

data "aws_subnet_ids" "consumer" {
  provider   = aws.consumer
  vpc_id     = aws_vpc.consumer.id
  depends_on = [aws_subnet.consumer]
}

data "aws_vpc_endpoint_service" "shop" {
  provider     = aws.consumer
  service_name = aws_vpc_endpoint_service.shop.service_name
  depends_on   = [aws_vpc_endpoint_service_allowed_principal.consumer]
}

data "aws_instance" "web" {
  provider = aws.provider
  filter {
    name   = "tag:Name"
    values = ["hello"]
  }
  depends_on = [aws_instance.web]
}

data "aws_security_group" "default" {
  provider = aws.provider
  vpc_id   = aws_vpc.provider.id
  name     = "default"
}

data "aws_ami" "http" {
  provider    = aws.provider
  owners      = ["self", "amazon"]
  most_recent = true
  filter {
    name   = "image-id"
    values = ["ami-0plinksimhttp0000"]
  }
}

data "aws_network_interface" "endpoint" {
  provider = aws.consumer
  id       = tolist(aws_vpc_endpoint.shop.network_interface_ids)[0]
}

resource "aws_vpc_ipv4_cidr_block_association" "more" {
  provider   = aws.provider
  vpc_id     = aws_vpc.provider.id
  cidr_block = "10.9.0.0/16"
}

resource "aws_default_security_group" "provider" {
  provider = aws.provider
  vpc_id   = aws_vpc.provider.id
  ingress {
    protocol  = "-1"
    self      = true
    from_port = 0
    to_port   = 0
  }
}

resource "aws_subnet" "second" {
  provider          = aws.provider
  vpc_id            = aws_vpc.provider.id
  cidr_block        = "10.0.2.0/24"
  availability_zone = data.aws_availability_zones.all.names[1]
}

resource "aws_lb" "front" {
  provider           = aws.provider
  name               = "front"
  internal           = true
  load_balancer_type = "application"
  subnets            = [aws_subnet.provider.id, aws_subnet.second.id]
  idle_timeout       = 30
}

resource "aws_lb_target_group" "front" {
  provider = aws.provider
  name     = "front"
  port     = 80
  protocol = "HTTP"
  vpc_id   = aws_vpc.provider.id
  stickiness {
    type            = "lb_cookie"
    cookie_duration = 600
  }
}

resource "aws_lb_listener" "front" {
  provider          = aws.provider
  load_balancer_arn = aws_lb.front.arn
  port              = 80
  protocol          = "HTTP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.front.arn
  }
}

resource "aws_lb_listener_rule" "old" {
  provider     = aws.provider
  listener_arn = aws_lb_listener.front.arn
  priority     = 10
  action {
    type = "redirect"
    redirect {
      path        = "/new"
      status_code = "HTTP_302"
    }
  }
  condition {
    field  = "path-pattern"
    values = ["/old/*"]
  }
}
