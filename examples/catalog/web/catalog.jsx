import { h, render } from "preact";
import { useEffect, useState } from "preact/hooks";

function Row({ product }) {
  return (
    <li>
      <strong>{product.name}</strong> <small>{product.sku}</small> {(product.price_cents / 100).toFixed(2)} €
    </li>
  );
}

function Catalog() {
  const [search, setSearch] = useState("");
  const [products, setProducts] = useState([]);
  useEffect(() => {
    const query = search ? `?search=${encodeURIComponent(search)}` : "";
    fetch(`/api/products${query}`).then((answer) => answer.json()).then(setProducts);
  }, [search]);
  return (
    <main>
      <h1>Catalogue</h1>
      <input placeholder="Search" value={search} onInput={(event) => setSearch(event.target.value)} />
      <ul>{products.map((product) => <Row key={product.sku} product={product} />)}</ul>
    </main>
  );
}

render(<Catalog />, document.getElementById("catalog"));
