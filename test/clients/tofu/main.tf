# A provider's service and a consumer's endpoint, in the spelling of version 2.36 of the AWS
# provider, whose endpoint "elb" is that of both versions of Elastic Load Balancing.

variable "endpoint" {}

variable "region" {
  default = "us-east-1"
}

variable "web_port" {
  default = 80
}

variable "team" {
  default = "shop"
}

provider "aws" {
  alias   = "provider"
  profile = "provider"
  region  = var.region
  endpoints {
    ec2 = var.endpoint
    elb = var.endpoint
    sts = var.endpoint
  }
}

provider "aws" {
  alias   = "consumer"
  profile = "consumer"
  region  = var.region
  endpoints {
    ec2 = var.endpoint
    elb = var.endpoint
    sts = var.endpoint
  }
}

data "aws_caller_identity" "consumer" {
  provider = aws.consumer
}

resource "aws_vpc" "provider" {
  provider   = aws.provider
  cidr_block = "10.0.0.0/16"
  tags       = { Name = "provider" }
}

resource "aws_subnet" "provider" {
  provider          = aws.provider
  vpc_id            = aws_vpc.provider.id
  cidr_block        = "10.0.1.0/24"
  availability_zone = "${var.region}a"
  tags              = { Name = "web" }
}

resource "aws_security_group" "web" {
  provider    = aws.provider
  name        = "web"
  description = "web servers"
  vpc_id      = aws_vpc.provider.id
  ingress {
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/16"]
    description = "pages of ${var.team}"
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
  tags = { Name = "web" }
}

resource "aws_instance" "web" {
  provider               = aws.provider
  ami                    = "ami-0plinksimhttp0000"
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.provider.id
  vpc_security_group_ids = [aws_security_group.web.id]
  tags                   = { Name = "hello" }
}

resource "aws_lb" "shop" {
  provider           = aws.provider
  name               = "shop"
  internal           = true
  load_balancer_type = "network"
  subnets            = [aws_subnet.provider.id]
  tags               = { team = var.team }
}

resource "aws_lb_target_group" "shop" {
  provider             = aws.provider
  name                 = "shop"
  port                 = 80
  protocol             = "TCP"
  vpc_id               = aws_vpc.provider.id
  deregistration_delay = 30
  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
  tags = { team = var.team }
}

resource "aws_lb_target_group_attachment" "web" {
  provider         = aws.provider
  target_group_arn = aws_lb_target_group.shop.arn
  target_id        = aws_instance.web.id
  port             = 80
}

resource "aws_lb_listener" "shop" {
  provider          = aws.provider
  load_balancer_arn = aws_lb.shop.arn
  port              = var.web_port
  protocol          = "TCP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.shop.arn
  }
}

resource "aws_vpc_endpoint_service" "shop" {
  provider                   = aws.provider
  acceptance_required        = false
  network_load_balancer_arns = [aws_lb.shop.arn]
  tags                       = { Name = "shop" }
}

resource "aws_vpc_endpoint_service_allowed_principal" "consumer" {
  provider                = aws.provider
  vpc_endpoint_service_id = aws_vpc_endpoint_service.shop.id
  principal_arn           = "arn:aws:iam::${data.aws_caller_identity.consumer.account_id}:root"
}

resource "aws_vpc" "consumer" {
  provider             = aws.consumer
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "consumer" }
}

resource "aws_subnet" "consumer" {
  provider          = aws.consumer
  vpc_id            = aws_vpc.consumer.id
  cidr_block        = "10.0.1.0/24"
  availability_zone = "${var.region}a"
}

resource "aws_security_group" "endpoint" {
  provider    = aws.consumer
  name        = "endpoint"
  description = "the endpoint"
  vpc_id      = aws_vpc.consumer.id
}

resource "aws_security_group_rule" "endpoint" {
  provider          = aws.consumer
  type              = "ingress"
  security_group_id = aws_security_group.endpoint.id
  from_port         = var.web_port
  to_port           = var.web_port
  protocol          = "tcp"
  cidr_blocks       = [aws_vpc.consumer.cidr_block]
}

resource "aws_instance" "client" {
  provider      = aws.consumer
  ami           = "ami-0plinksimempty000"
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.consumer.id
  tags          = { Name = "client" }
}

resource "aws_vpc_endpoint" "shop" {
  provider           = aws.consumer
  vpc_id             = aws_vpc.consumer.id
  service_name       = aws_vpc_endpoint_service.shop.service_name
  vpc_endpoint_type  = "Interface"
  subnet_ids         = [aws_subnet.consumer.id]
  security_group_ids = [aws_security_group.endpoint.id]
  tags               = { Name = "shop" }
  depends_on         = [aws_vpc_endpoint_service_allowed_principal.consumer]
}

output "client" {
  value = aws_instance.client.id
}

output "page" {
  value = "http://${aws_vpc_endpoint.shop.dns_entry[0].dns_name}:${var.web_port}/"
}
