"""Truong et al. 2020: backdoor triggers, regularisers and clean retraining, systematically."""
