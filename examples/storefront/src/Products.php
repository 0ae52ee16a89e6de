<?php

declare(strict_types=1);

namespace Storefront;

/** What is on sale, read from a file that comes with the service. */
final class Products
{
    /** @var array<string, array{id: string, name: string, price: int, text: string}> */
    private array $products = [];

    public function __construct(string $file)
    {
        foreach (json_decode((string) file_get_contents($file), true, 16, JSON_THROW_ON_ERROR) as $product) {
            $this->products[$product['id']] = $product;
        }
    }

    /** @return list<array{id: string, name: string, price: int, text: string}> */
    public function all(): array
    {
        return array_values($this->products);
    }

    /** @return array{id: string, name: string, price: int, text: string}|null */
    public function find(string $id): ?array
    {
        return $this->products[$id] ?? null;
    }
}
