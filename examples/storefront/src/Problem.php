<?php

declare(strict_types=1);

namespace Storefront;

use RuntimeException;

/** A request that cannot be served, with the status that says why. */
final class Problem extends RuntimeException
{
    public function __construct(public readonly int $status, string $message)
    {
        parent::__construct($message);
    }
}
